"""Sending over TLS: to the right PACS, with our certificate, and to nobody else."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendOutcome, SendState
from node.sending.peer_tls import PeerTls
from node.tls import ReloadingContext, TlsFiles, client_context
from tests.certificates import Authority, Certificate
from tests.dicom_tools import tool
from tests.node_process import free_port, wait_until
from tests.sending_objects import report

pytestmark = [
    # pynetdicom leaves the socket of a failed connection to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SENT = SendOutcome(SendState.SENT)


@dataclass
class Site:
    """Two authorities, and the files that the node has been given."""

    ours: Authority
    theirs: Authority
    folder: Path
    node: Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.node = self.ours.issue("node")

    def tls(
        self,
        ca: Path | None = None,
        certificate: Certificate | None = None,
        *,
        server_name: str = "localhost",
        check_server_name: bool = True,
    ) -> PeerTls:
        files = TlsFiles(
            "destination[pacs].tls",
            certificate.certificate if certificate else None,
            certificate.key if certificate else None,
            ca or self.ours.certificate,
        )
        context = ReloadingContext(
            files, lambda files: client_context(files, check_server_name=check_server_name)
        )
        return PeerTls(context, server_name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("pki")
    return Site(Authority(folder / "ours"), Authority(folder / "theirs", "Another"), folder)


@contextmanager
def pacs(
    site: Site, certificate: Certificate, *, version: ssl.TLSVersion | None = None
) -> Iterator[tuple[int, list[str]]]:
    """A PACS that takes clients of our authority only; its port, and who has sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    context.load_verify_locations(site.ours.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    if version is not None:
        context.minimum_version = context.maximum_version = version
    stored: list[str] = []

    def on_store(event: evt.Event) -> int:
        request: Any = event.request
        stored.append(str(request.AffectedSOPInstanceUID))
        return 0x0000

    ae = AE(ae_title="PACS")
    ae.add_supported_context(Comprehensive3DSRStorage, ExplicitVRLittleEndian)
    server: Any = ae.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
        ssl_context=context,
    )
    try:
        yield server.server_address[1], stored
    finally:
        server.shutdown()


def send(port: int, tls: PeerTls | None, folder: Path, count: int = 1) -> list[SendOutcome]:
    sender = CStoreSender(Peer("127.0.0.1", port, "PACS", 10.0), "CARDIONODE", tls=tls)
    with closing(sender):
        objects = [report(folder, number + 1) for number in range(count)]
        return [sender.send(stored, folder / stored.path) for stored in objects]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_pacs_that_knows_us(site: Site, tmp_path: Path, version: ssl.TLSVersion) -> None:
    with pacs(site, site.ours.issue("pacs"), version=version) as (port, stored):
        outcomes = send(port, site.tls(certificate=site.node), tmp_path, count=3)
        assert outcomes == [SENT] * 3
        assert len(stored) == 3


def test_dcmtk_takes_results_over_tls(site: Site, tmp_path: Path) -> None:
    port, theirs = free_port(), site.ours.issue("pacs")
    received = tmp_path / "received"
    received.mkdir()
    process = subprocess.Popen(
        [
            *(tool("storescp"), "+tls", str(theirs.key), str(theirs.certificate)),
            *("+cf", str(site.ours.certificate), "-aet", "PACS", "-od", str(received), str(port)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def is_sent() -> bool:
            return send(port, site.tls(certificate=site.node), tmp_path) == [SENT]

        wait_until(is_sent, 30.0, "storescp's answer")
        assert len(list(received.iterdir())) == 1
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(
    ("theirs", "server_name", "words"),
    [
        ("stranger", "localhost", "certificate is not valid: "),
        ("expired", "localhost", "certificate is not valid: certificate has expired"),
        ("named", "localhost", "certificate is not valid: Hostname mismatch"),
        ("named", "127.0.0.1", "certificate is not valid: IP address mismatch"),
    ],
)
def test_another_than_the_pacs_gets_nothing(
    site: Site, tmp_path: Path, theirs: str, server_name: str, words: str
) -> None:
    certificate = {
        "stranger": lambda: site.theirs.issue("pacs"),
        "expired": lambda: site.ours.issue("pacs", days=(-3, -1)),
        "named": lambda: site.ours.issue("pacs", extensions="subjectAltName=DNS:pacs.example"),
    }[theirs]()
    with pacs(site, certificate) as (port, stored):
        tls = site.tls(certificate=site.node, server_name=server_name)
        (outcome,) = send(port, tls, tmp_path)
        assert (outcome.state, outcome.reachable) == (SendState.TRANSIENT, False)
        assert words in outcome.note
        assert stored == []


def test_the_name_need_not_be_checked(site: Site, tmp_path: Path) -> None:
    named = site.ours.issue("pacs", extensions="subjectAltName=DNS:pacs.example")
    with pacs(site, named) as (port, _):
        tls = site.tls(certificate=site.node, check_server_name=False)
        assert send(port, tls, tmp_path) == [SENT]
        tls = site.tls(certificate=site.node, server_name="pacs.example")
        assert send(port, tls, tmp_path) == [SENT]


def test_a_pacs_that_does_not_know_us(site: Site, tmp_path: Path) -> None:
    with pacs(site, site.ours.issue("pacs")) as (port, stored):
        for certificate in (None, site.theirs.issue("node")):
            (outcome,) = send(port, site.tls(certificate=certificate), tmp_path)
            assert (outcome.state, outcome.reachable) == (SendState.TRANSIENT, False)
        assert stored == []


def test_a_pacs_without_tls_gets_nothing(site: Site, tmp_path: Path) -> None:
    ae = AE(ae_title="PACS")
    ae.add_supported_context(Comprehensive3DSRStorage, ExplicitVRLittleEndian)
    server: Any = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        (outcome,) = send(server.server_address[1], site.tls(), tmp_path)
    finally:
        server.shutdown()
    assert (outcome.state, outcome.reachable) == (SendState.TRANSIENT, False)
    assert "TLS" in outcome.note


def test_new_files_are_used_for_the_next_connection(site: Site, tmp_path: Path) -> None:
    ca = tmp_path / "ca"
    shutil.copy(site.theirs.certificate, ca)
    with pacs(site, site.ours.issue("pacs")) as (port, _):
        tls = site.tls(ca, site.node)
        (outcome,) = send(port, tls, tmp_path)
        assert outcome.state is SendState.TRANSIENT
        shutil.copy(site.ours.certificate, ca)
        assert send(port, tls, tmp_path) == [SENT]
        ca.write_text("")  # A bad file changes nothing.
        assert send(port, tls, tmp_path) == [SENT]
