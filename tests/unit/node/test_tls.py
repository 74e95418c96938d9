"""TLS files: what is said of bad ones, and contexts after BCP 195."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import ssl
import struct
from pathlib import Path

import pytest

from node.arrival.connection import TlsConnection
from node.certificate import Role, certificate_warning
from node.errors import ConfigurationError
from node.tls import SUITES, ReloadingContext, TlsFiles, client_context, server_context
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "ca")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    own = authority.issue("node")
    for source, name in (
        (own.certificate, "certificate"),
        (own.key, "key"),
        (authority.certificate, "ca"),
    ):
        shutil.copy(source, tmp_path / name)
    return TlsFiles("listen.tls", *(tmp_path / name for name in ("certificate", "key", "ca")))


def make(files: TlsFiles) -> ssl.SSLContext:
    return server_context(files, require_client_certificate=True)


def test_a_server_speaks_what_the_profile_allows(files: TlsFiles) -> None:
    context = make(files)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    names = {each["name"] for each in context.get_ciphers() if not each["name"].startswith("TLS_")}
    assert names == set(SUITES)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 0


def test_a_client_always_verifies(files: TlsFiles) -> None:
    for check in (True, False):
        context = client_context(files, check_server_name=check)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is check
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("name", ["certificate", "key", "ca"])
def test_files_that_are_missing_or_no_pem(files: TlsFiles, name: str) -> None:
    path = files.by_key[name]
    for content, words in ((b"", "in PEM form"), (b"\0\xff\0", "in PEM form"), (None, "No such")):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            make(files)
        (problem,) = caught.value.problems
        assert problem.startswith(f"listen.tls.{name}: {path} ")
        assert words in problem


def test_every_file_is_named_at_once(tmp_path: Path) -> None:
    files = TlsFiles("listen.tls", tmp_path / "a", tmp_path / "b", tmp_path / "c")
    with pytest.raises(ConfigurationError) as caught:
        make(files)
    assert len(caught.value.problems) == 3


def test_a_key_of_another_certificate(files: TlsFiles, authority: Authority) -> None:
    shutil.copy(authority.issue("other").key, files.by_key["key"])
    with pytest.raises(ConfigurationError, match="does not fit the certificate"):
        make(files)


def test_a_key_with_a_passphrase_asks_nobody(files: TlsFiles) -> None:
    files.by_key["key"].write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcG\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    with pytest.raises(ConfigurationError, match="or one with a passphrase"):
        make(files)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_key_that_may_not_be_read(files: TlsFiles) -> None:
    files.by_key["key"].chmod(0)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        make(files)


def test_files_are_loaded_when_they_change(files: TlsFiles, authority: Authority) -> None:
    holder = ReloadingContext(files, make)
    first = holder.current
    holder.refresh()
    assert holder.current is first
    other = authority.issue("node")
    shutil.copy(other.key, files.by_key["key"])
    holder.refresh()  # Between the two copies they don't fit.
    assert holder.current is first
    shutil.copy(other.certificate, files.by_key["certificate"])
    holder.refresh()
    assert holder.current is not first


def test_without_older_files_bad_ones_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        ReloadingContext(TlsFiles("x", None, None, tmp_path / "absent"), make)


@pytest.mark.parametrize(
    ("days", "usage", "role", "warning"),
    [
        ((-1, 365), "", "server", None),
        ((-1, 365), "", "client", None),
        ((-3, -1), "", "server", "has expired"),
        ((-3, -1), "", "client", "has expired"),
        ((2, 9), "", "server", "is not valid yet"),
        ((-1, 5.5), "", "client", "expires in 5 days"),
        ((-1, 365), "clientAuth", "server", "is not meant for a server"),
        ((-1, 365), "clientAuth", "client", None),
        ((-1, 365), "serverAuth", "client", "is not meant for a client"),
    ],
)
def test_what_is_wrong_with_a_certificate(
    authority: Authority, days: tuple[float, float], usage: str, role: Role, warning: str | None
) -> None:
    extensions = f"extendedKeyUsage={usage}" if usage else ""
    own = authority.issue("node", days=days, extensions=extensions)
    assert certificate_warning(own.certificate, own.key, role) == warning


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
def test_a_peer_that_has_gone_before_tls_begins_leaves_no_descriptor(
    files: TlsFiles, sent: bytes
) -> None:
    context = make(files)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        peer.sendall(sent)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        descriptor = accepted.fileno()
        # The error is kept, and with it whatever the failed call had in hand.
        with pytest.raises(ConnectionResetError) as caught:
            TlsConnection(accepted, context)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        assert caught.value.errno == errno.ECONNRESET
