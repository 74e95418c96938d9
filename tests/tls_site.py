"""A node over TLS for tests, and what connects to it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.config_listen import ListenTlsSettings, SenderSettings
from tests.certificates import Authority, Certificate
from tests.dicom_wire import (
    COMMAND_END,
    CT_IMAGE,
    DATASET_END,
    IMPLICIT_LE,
    associate_rq,
    dataset,
    p_data,
    read_pdu,
    store_command,
)
from tests.running_listener import Node, running

REQUEST = associate_rq([(1, CT_IMAGE, [IMPLICIT_LE])], "ECHO1", "CARDIONODE")
STORE = (
    p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), b"1.2.3"))
    + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3"))
)  # fmt: skip


@dataclass
class Site:
    """A node's files, and the certificates of those around it."""

    authority: Authority
    stranger: Authority
    node: Certificate
    echo: Certificate

    @classmethod
    def at(cls, folder: Path) -> Site:
        """Make everything anew."""
        authority = Authority(folder / "ours")
        stranger = Authority(folder / "stranger", "Another CA")
        return cls(authority, stranger, authority.issue("node"), authority.issue("echo1"))

    def tls(self, **settings: Any) -> ListenTlsSettings:
        """The settings of ``[listen.tls]``, on a port of the system's choice."""
        own = {"certificate": self.node.certificate, "key": self.node.key}
        settings = own | {"ca": self.authority.certificate} | settings
        return ListenTlsSettings(enabled=True, **settings).model_copy(update={"port": 0})

    def sender(self, **settings: Any) -> SenderSettings:
        """The settings of ECHO1 as a sender."""
        return SenderSettings(ae_title="ECHO1", **settings)


@contextmanager
def tls_node(site: Site, folder: Path) -> Iterator[Node]:
    """A running node that takes ECHO1 with its certificate."""
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    with running(folder, tls=site.tls(), sender=(sender,)) as node:
        yield node


def client(site: Site, certificate: Certificate | None) -> ssl.SSLContext:
    """What a sender speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.authority.certificate)
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def connect(node: Node, context: ssl.SSLContext, source: str = "127.0.0.1") -> ssl.SSLSocket:
    """Shake hands at the TLS port."""
    sock = socket.create_connection(node.listener.tls_address, 10.0, (source, 0))
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except OSError:
        sock.close()
        raise


def answer(node: Node, context: ssl.SSLContext, request: bytes = REQUEST) -> tuple[int, bytes]:
    """What a request over TLS is answered; (0, b"") when TLS does not even get that far."""
    try:
        with connect(node, context) as sock:
            sock.sendall(request)
            return read_pdu(sock)
    except OSError:
        return 0, b""


def refusals(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the audit trail has."""
    return [vars(each) for each in caplog.records if each.name == "node.audit"]


def client_hello() -> bytes:
    """The first bytes of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


class ByHand:
    """A TLS client that decides itself when which bytes leave."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(sock.recv(1 << 16))
        self._flush()

    def encrypted(self, data: bytes) -> bytes:
        """What would be sent."""
        self._tls.write(data)
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._sock.sendall(self.encrypted(data))

    def receive(self) -> tuple[int, bytes]:
        """The next PDU, which is a record of its own."""
        while True:
            try:
                data = self._tls.read(1 << 16)
                return data[0], data[6:]
            except ssl.SSLWantReadError:
                self._incoming.write(self._sock.recv(1 << 16))

    def _flush(self) -> None:
        self._sock.sendall(self._outgoing.read())
