"""The listener over TLS: senders with their certificates, and those without (B.3: 14 to 17)."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest

from node.config_listen import SenderSettings
from tests.dicom_tools import tool
from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    IMPLICIT_LE,
    VERIFICATION,
    associate_rq,
    pdu,
    read_pdu,
)
from tests.running_listener import Node, running, send, small_ds, wait_until
from tests.tls_site import (
    REQUEST,
    Site,
    answer,
    client,
    connect,
    refusals,
    tls_node,
)

ROOT = Path(__file__).resolve().parents[2]
CALLING_NOT_RECOGNISED = (ASSOCIATE_RJ, b"\0\1\1\3")

pytestmark = [
    # pydicom warns about the samples' own oddities, in the sender's role.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.at(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def node(site: Site, tmp_path: Path) -> Iterator[Node]:
    with tls_node(site, tmp_path) as node:
        yield node


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
