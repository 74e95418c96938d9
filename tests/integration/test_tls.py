"""The listener over TLS: senders with their certificates, and those without (B.3: 14 to 17)."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

from node.config_listen import ListenTlsSettings, SenderSettings
from tests.certificates import Authority, Certificate
from tests.dicom_tools import tool
from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    DATASET_END,
    IMPLICIT_LE,
    P_DATA,
    VERIFICATION,
    associate_rq,
    dataset,
    p_data,
    pdu,
    read_pdu,
    status_of,
    store_command,
)
from tests.running_listener import Node, running, send, small_ds, wait_until

ROOT = Path(__file__).resolve().parents[2]
REQUEST = associate_rq([(1, CT_IMAGE, [IMPLICIT_LE])], "ECHO1", "CARDIONODE")
CALLING_NOT_RECOGNISED = (ASSOCIATE_RJ, b"\0\1\1\3")

pytestmark = [
    # pydicom warns about the samples' own oddities, in the sender's role.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@dataclass
class Site:
    """A node's files, and the certificates of those around it."""

    authority: Authority
    stranger: Authority
    node: Certificate
    echo: Certificate

    def tls(self, **settings: Any) -> ListenTlsSettings:
        own = {"certificate": self.node.certificate, "key": self.node.key}
        settings = own | {"ca": self.authority.certificate} | settings
        return ListenTlsSettings(enabled=True, **settings).model_copy(update={"port": 0})

    def sender(self, **settings: Any) -> SenderSettings:
        return SenderSettings(ae_title="ECHO1", **settings)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder / "ours")
    stranger = Authority(folder / "stranger", "Another CA")
    return Site(authority, stranger, authority.issue("node"), authority.issue("echo1"))


@pytest.fixture
def node(site: Site, tmp_path: Path) -> Iterator[Node]:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    with running(tmp_path, tls=site.tls(), sender=(sender,)) as node:
        yield node


@pytest.fixture(autouse=True)
def library_switches() -> Iterator[None]:
    """The listener quietens pydicom for its process; other tests share this one."""
    mode = pydicom.config.settings.reading_validation_mode
    yield
    pydicom.config.settings.reading_validation_mode = mode


def client(site: Site, certificate: Certificate | None) -> ssl.SSLContext:
    """What a sender speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.authority.certificate)
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def connect(node: Node, context: ssl.SSLContext, source: str = "127.0.0.1") -> ssl.SSLSocket:
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
    return [vars(each) for each in caplog.records if each.name == "node.audit"]


# Who may send


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_sender_with_its_certificate(node: Node, site: Site, version: ssl.TLSVersion) -> None:
    context = client(site, site.echo)
    context.minimum_version = context.maximum_version = version
    sample = pydicom.dcmread(ROOT / "sample_dicom" / "echo_apical_agilent_10f.dcm")
    assert send(node.listener.tls_address, sample, small_ds("1.2.3.4"), tls=context) == [0, 0]
    arrivals = [arrival for arrival, _ in node.recorder.arrivals]
    assert [each.calling_ae_title for each in arrivals] == ["ECHO1"] * 2
    stored = pydicom.dcmread(node.spool.path_of(arrivals[0].sha256))
    assert stored.PixelData == sample.PixelData
    assert node.parts() == []


def test_dcmtk_sends_over_tls(node: Node, site: Site) -> None:
    host, port = node.listener.tls_address
    tls = ["+tls", str(site.echo.key), str(site.echo.certificate)]
    tls += ["+cf", str(site.authority.certificate), "-aet", "ECHO1", host, str(port)]
    subprocess.run([tool("echoscu"), *tls], check=True, timeout=30)
    path = ROOT / "sample_dicom" / "echo_apical_agilent_10f.dcm"
    subprocess.run([tool("storescu"), "-xy", *tls, str(path)], check=True, timeout=60)
    blob = node.spool.path_of(node.recorder.arrivals[0][0].sha256)
    assert pydicom.dcmread(blob).PixelData == pydicom.dcmread(path).PixelData


def test_dcmtk_with_a_strangers_certificate(node: Node, site: Site) -> None:
    other = site.stranger.issue("evil")
    host, port = node.listener.tls_address
    command = [tool("echoscu"), "+tls", str(other.key), str(other.certificate), "-ic"]
    run = subprocess.run(
        [*command, "-aet", "ECHO1", host, str(port)], capture_output=True, check=False, timeout=30
    )
    assert run.returncode != 0
    assert node.metric('node_refusals_total{reason="tls_certificate_unknown"}') == 1


def test_a_common_name_binds_too(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_common_names=("echo1",))
    with running(tmp_path, tls=site.tls(), sender=(sender,)) as node:
        assert answer(node, client(site, site.echo))[0] == ASSOCIATE_AC
        other = site.authority.issue("echo2")
        assert answer(node, client(site, other)) == CALLING_NOT_RECOGNISED


def test_a_certificate_speaks_for_its_own_titles_only(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unbound = site.authority.issue("printer")
    senders = (
        site.sender(certificate_sha256=(site.echo.sha256,)),
        SenderSettings(ae_title="ECHO2", addresses=("127.0.0.0/8",)),
    )
    as_echo2 = associate_rq([(1, VERIFICATION, [IMPLICIT_LE])], "ECHO2", "CARDIONODE")
    with running(tmp_path, tls=site.tls(), sender=senders) as node:
        assert answer(node, client(site, site.echo))[0] == ASSOCIATE_AC
        assert answer(node, client(site, site.echo), as_echo2) == CALLING_NOT_RECOGNISED
        assert answer(node, client(site, unbound)) == CALLING_NOT_RECOGNISED
        assert answer(node, client(site, unbound), as_echo2) == CALLING_NOT_RECOGNISED
        # The plain port is no way around it.
        for request, kind in ((REQUEST, ASSOCIATE_RJ), (as_echo2, ASSOCIATE_AC)):
            with node.connect() as sock:
                sock.sendall(request)
                assert read_pdu(sock)[0] == kind
        assert node.metric('node_refusals_total{reason="certificate"}') == 4
    lines = refusals(caplog)
    assert [each["ae"] for each in lines] == ["ECHO2", "ECHO1", "ECHO2", "ECHO1"]
    assert [each["certificate"] for each in lines] == [
        *(site.echo.sha256, unbound.sha256, unbound.sha256),
        None,
    ]
    assert {each["event_id"] for each in lines} == {"110113 DCM Security Alert"}


def test_certificates_of_the_ca_can_be_enough(site: Site, tmp_path: Path) -> None:
    with running(tmp_path, tls=site.tls(bound_certificates_only=False)) as node:
        assert answer(node, client(site, site.authority.issue("any")))[0] == ASSOCIATE_AC


def test_clients_without_certificate_can_be_let_in(site: Site, tmp_path: Path) -> None:
    with running(tmp_path, tls=site.tls(require_client_certificate=False)) as node:
        assert answer(node, client(site, None))[0] == ASSOCIATE_AC
        assert answer(node, client(site, site.stranger.issue("x")))[0] == 0


def test_an_address_binds(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,), addresses=("127.0.0.2",))
    with running(tmp_path, tls=site.tls(), sender=(sender,)) as node:
        for source, expected in (("127.0.0.2", ASSOCIATE_AC), ("127.0.0.3", ASSOCIATE_RJ)):
            with connect(node, client(site, site.echo), source) as sock:
                sock.sendall(REQUEST)
                assert read_pdu(sock)[0] == expected
        port = node.listener.tls_address[1]
    (line,) = refusals(caplog)
    assert (line["reason"], line["address"], line["port"]) == ("address", "127.0.0.3", port)


def test_only_tls(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    with running(tmp_path, plain=False, tls=site.tls(), sender=(sender,)) as node:
        assert answer(node, client(site, site.echo))[0] == ASSOCIATE_AC
        with pytest.raises(RuntimeError):
            _ = node.address


def test_a_full_node_rejects_for_now_on_both_ports(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    other = SenderSettings(ae_title="OTHER")
    settings: dict[str, Any] = {"tls": site.tls(), "sender": (sender, other), "max_associations": 1}
    with running(tmp_path, **settings) as node, connect(node, client(site, site.echo)) as first:
        first.sendall(REQUEST)
        assert read_pdu(first)[0] == ASSOCIATE_AC
        assert answer(node, client(site, site.echo)) == (ASSOCIATE_RJ, b"\0\2\3\2")
        with node.connect() as third:
            third.sendall(associate_rq([(1, VERIFICATION, [IMPLICIT_LE])], "OTHER"))
            assert read_pdu(third) == (ASSOCIATE_RJ, b"\0\2\3\2")
    assert [(each["reason"], each["event_id"]) for each in refusals(caplog)] == [
        ("local_limit", None)
    ] * 2


# Who may not even speak


def no_certificate(site: Site) -> ssl.SSLContext:
    return client(site, None)


def expired(site: Site) -> ssl.SSLContext:
    return client(site, site.authority.issue("echo1", days=(-3, -1)))


def not_yet_valid(site: Site) -> ssl.SSLContext:
    return client(site, site.authority.issue("echo1", days=(1, 3)))


def unknown(site: Site) -> ssl.SSLContext:
    return client(site, site.stranger.issue("echo1"))


def for_servers_only(site: Site) -> ssl.SSLContext:
    return client(site, site.authority.issue("echo1", extensions="extendedKeyUsage=serverAuth"))


def old_version(site: Site) -> ssl.SSLContext:
    context = client(site, site.echo)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def weak_cipher(site: Site) -> ssl.SSLContext:
    context = client(site, site.echo)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305")
    return context


def trusts_another(site: Site) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.stranger.certificate)
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_certificate, "tls_no_certificate"),
        (expired, "tls_certificate_expired"),
        (not_yet_valid, "tls_certificate_unknown"),
        (unknown, "tls_certificate_unknown"),
        (for_servers_only, "tls_certificate_unknown"),
        (old_version, "tls_version"),
        (weak_cipher, "tls_cipher"),
        (trusts_another, "tls_peer_refuses"),
    ],
)
def test_a_handshake_that_is_refused(
    node: Node, site: Site, make: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert answer(node, make(site)) == (0, b"")
    wait_until(lambda: bool(refusals(caplog)))
    (line,) = refusals(caplog)
    assert (line["reason"], line["address"]) == (reason, "127.0.0.1")
    assert line["event_type"] == "110126 DCM Node Authentication"
    assert line["outcome"] == 4
    assert node.metric(f'node_refusals_total{{reason="{reason}"}}') == 1
    assert node.metric('node_associations_total{result="tls"}') == 1
    assert answer(node, client(site, site.echo))[0] == ASSOCIATE_AC


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(REQUEST, "tls_not_spoken", id="plain DICOM"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "tls_not_spoken", id="HTTP"),
        pytest.param(b"\x80\x2e\x01\0\2" * 20, "tls_other", id="SSL 2"),
    ],
)
def test_what_is_not_tls_is_refused_at_once(
    node: Node, site: Site, data: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(node.listener.tls_address, 10.0) as sock, suppress(OSError):
        sock.sendall(data)
        while sock.recv(100):  # An alert may come first.
            pass
    wait_until(lambda: bool(refusals(caplog)))
    assert [each["reason"] for each in refusals(caplog)] == [reason]
    assert node.metric('node_associations_total{result="too_late"}') == 0
    assert answer(node, client(site, site.echo))[0] == ASSOCIATE_AC


def test_tls_at_the_plain_port_is_aborted(node: Node, site: Site) -> None:
    with pytest.raises(OSError), node.connect() as sock:
        client(site, site.echo).wrap_socket(sock, server_hostname="localhost")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        pdu(0x01, b"", length=1 << 31),
        pdu(0x04, b"\0" * 10),
        pdu(0x01, b"\0" * 20),
    ],
)
def test_other_protocols_inside_tls_are_aborted(node: Node, site: Site, data: bytes) -> None:
    assert answer(node, client(site, site.echo), data) == (ABORT, b"\0\0\2\2")


# Who takes its time


def test_idle_and_dribbling_handshakes_keep_nobody_out(node: Node, site: Site) -> None:
    threads = threading.active_count()
    hello = client_hello()
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(node.listener.tls_address, 10.0))
            for _ in range(60)
        ]
        for at in range(min(len(hello), 40)):
            for sock in idle[30:]:
                with suppress(OSError):
                    sock.sendall(hello[at : at + 1])
            if at % 10 == 0:
                context = client(site, site.echo)
                ds = small_ds(f"1.2.3.{at + 1}")
                assert send(node.listener.tls_address, ds, tls=context) == [0]
        assert threading.active_count() <= threads + 4
    assert len(node.recorder.arrivals) == 4


@pytest.mark.parametrize("sent", [0, 1, 50])
def test_a_handshake_has_the_deadline_of_a_request(node: Node, sent: int) -> None:
    began = time.monotonic()
    with socket.create_connection(node.listener.tls_address, 10.0) as sock:
        sock.sendall(client_hello()[:sent])
        with suppress(ConnectionError):
            assert sock.recv(1) == b""
    assert 1.0 < time.monotonic() - began < 8.0
    assert node.metric('node_associations_total{result="too_late"}') == 1


def test_silence_after_the_handshake_has_the_same_deadline(node: Node, site: Site) -> None:
    began = time.monotonic()
    with connect(node, client(site, site.echo)) as sock:
        sock.sendall(REQUEST[:20])
        with suppress(OSError):
            assert sock.recv(1) == b""
    assert 1.0 < time.monotonic() - began < 8.0


def test_a_handshake_costs_bounded_memory(node: Node) -> None:
    # A handshake message may say that it has 16 MiB; OpenSSL ends it at the first odd byte.
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + b"\0" * (0x4000 - 4)
    before = resident_bytes()
    for _ in range(20):
        with socket.create_connection(node.listener.tls_address, 10.0) as sock, suppress(OSError):
            for _ in range(64):
                sock.sendall(record)
    assert resident_bytes() - before < 8 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


# How bytes come


STORE = (
    p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), b"1.2.3"))
    + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3"))
)  # fmt: skip


def test_records_need_not_be_pdus(node: Node, site: Site) -> None:
    with connect(node, client(site, site.echo)) as sock:
        for at in range(0, len(REQUEST), 7):
            sock.sendall(REQUEST[at : at + 7])
        assert read_pdu(sock)[0] == ASSOCIATE_AC
        for _ in range(3):
            sock.sendall(STORE)  # Two PDUs in one record: the second is in no system buffer.
            assert status_of(read_pdu(sock)[1]) == 0x0000
        for at in range(len(STORE)):
            sock.sendall(STORE[at : at + 1])
        assert status_of(read_pdu(sock)[1]) == 0x0000
    wait_until(lambda: node.listener.association_count == 0)


def test_a_part_of_a_record_does_not_hold_an_answer_back(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    settings: dict[str, Any] = {"tls": site.tls(), "sender": (sender,), "pdu_deadline_s": 60.0}
    with running(tmp_path, **settings) as node:
        arrived, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            arrived.set()
            go_on.wait(20.0)

        node.recorder.before = slow
        with socket.create_connection(node.listener.tls_address, 20.0) as sock:
            peer = ByHand(sock, client(site, site.echo))
            peer.send(REQUEST)
            assert peer.receive()[0] == ASSOCIATE_AC
            peer.send(STORE)
            assert arrived.wait(20.0)
            sock.sendall(peer.encrypted(pdu(0x05, b"\0" * 4))[:9])
            time.sleep(0.3)  # Time for the node to notice those bytes.
            began = time.monotonic()
            go_on.set()
            kind, body = peer.receive()
            assert (kind, status_of(body)) == (P_DATA, 0x0000)
            assert time.monotonic() - began < 15.0


def test_a_record_that_never_ends_counts_as_silence(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    settings: dict[str, Any] = {"tls": site.tls(), "sender": (sender,), "idle_timeout_s": 0.8}
    with running(tmp_path, **settings) as node:
        with socket.create_connection(node.listener.tls_address, 20.0) as sock:
            peer = ByHand(sock, client(site, site.echo))
            peer.send(REQUEST)
            assert peer.receive()[0] == ASSOCIATE_AC
            with suppress(OSError):
                for byte in peer.encrypted(STORE) * 10:
                    sock.sendall(bytes([byte]))
                    time.sleep(0.02)
                    if node.listener.association_count == 0:
                        break
        wait_until(lambda: node.listener.association_count == 0)
        assert node.is_untouched()


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
        self._tls.write(data)
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
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


@pytest.mark.parametrize("farewell", ["close", "reset", "amid a record"])
def test_an_end_amid_a_dataset_leaves_nothing(node: Node, site: Site, farewell: str) -> None:
    begun = p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), b"1.2.3"))
    begun += p_data(1, DATASET, b"x" * 10_000) * 20
    with socket.create_connection(node.listener.tls_address, 20.0) as sock:
        peer = ByHand(sock, client(site, site.echo))
        peer.send(REQUEST)
        assert peer.receive()[0] == ASSOCIATE_AC
        peer.send(begun)
        wait_until(lambda: len(node.parts()) == 1)
        if farewell == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif farewell == "amid a record":
            sock.sendall(peer.encrypted(begun)[:1000])
    wait_until(lambda: node.listener.association_count == 0)
    assert node.is_untouched()


def test_stop_ends_every_association(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    with running(tmp_path, tls=site.tls(), sender=(sender,)) as node:
        with connect(node, client(site, site.echo)) as sock:
            sock.sendall(REQUEST)
            assert read_pdu(sock)[0] == ASSOCIATE_AC
            node.listener.stop(drain_s=1.0)
            with suppress(OSError):
                assert read_pdu(sock)[0] in (ABORT, 0)
        with pytest.raises(ConnectionError):
            socket.create_connection(node.listener.tls_address)


# New files


@pytest.fixture
def renewable(site: Site, tmp_path: Path) -> Iterator[tuple[Node, Path]]:
    """A node whose files lie in a folder, where the test may replace them."""
    files = tmp_path / "tls"
    files.mkdir()
    install(site.node, files)
    shutil.copy(site.authority.certificate, files / "ca")
    tls = site.tls(certificate=files / "certificate", key=files / "key", ca=files / "ca")
    sender = site.sender(certificate_common_names=("echo1",))
    with running(tmp_path / "data", tls=tls, sender=(sender,)) as node:
        yield node, files


def install(certificate: Certificate, files: Path) -> None:
    shutil.copy(certificate.certificate, files / "certificate")
    shutil.copy(certificate.key, files / "key")


def shown(node: Node, site: Site) -> bytes | None:
    with connect(node, client(site, site.echo)) as sock:
        return sock.getpeercert(binary_form=True)


def test_a_new_certificate_needs_no_restart(
    renewable: tuple[Node, Path], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    node, files = renewable
    first = shown(node, site)
    install(site.authority.issue("node"), files)
    with connect(node, client(site, site.echo)) as sock:
        sock.sendall(REQUEST)
        assert read_pdu(sock)[0] == ASSOCIATE_AC
        node.listener.refresh_tls()
        assert shown(node, site) not in (None, first)
        sock.sendall(STORE)  # Who is in stays in.
        assert status_of(read_pdu(sock)[1]) == 0x0000
    loaded = 'node_tls_reloads_total{result="loaded",section="listen.tls"}'
    assert node.metric(loaded) == 1
    node.listener.refresh_tls()
    assert node.metric(loaded) == 1
    node.listener.refresh_tls(force=True)
    assert node.metric(loaded) == 2


@pytest.mark.parametrize("name", ["certificate", "key", "ca"])
@pytest.mark.parametrize("content", [None, "", "no PEM", "other"])
def test_a_bad_new_file_keeps_the_old_ones(
    renewable: tuple[Node, Path],
    site: Site,
    name: str,
    content: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node, files = renewable
    first = shown(node, site)
    if content is None:
        (files / name).unlink()
    elif content == "other":
        if name == "ca":
            pytest.skip("another CA is a good file")
        other = site.authority.issue("node")
        shutil.copy(getattr(other, name), files / name)
    else:
        (files / name).write_text(content)
    for _ in range(3):
        node.listener.refresh_tls()
    failed = 'node_tls_reloads_total{result="failed",section="listen.tls"}'
    assert node.metric(failed) == 1
    (line,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert str(files) in vars(line)["reason"]
    assert shown(node, site) == first
    assert answer(node, client(site, site.echo))[0] == ASSOCIATE_AC


def test_another_ca_lets_others_in(renewable: tuple[Node, Path], site: Site) -> None:
    node, files = renewable
    newcomer = client(site, site.stranger.issue("echo1"))
    assert answer(node, newcomer)[0] == 0
    shutil.copy(site.stranger.certificate, files / "ca")
    node.listener.refresh_tls()
    assert answer(node, newcomer)[0] == ASSOCIATE_AC
    assert answer(node, client(site, site.echo))[0] == 0
