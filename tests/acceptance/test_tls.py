"""The node as a process, over TLS: a sender with its certificate, and new files on SIGHUP."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.certificates import Authority, Certificate
from tests.dicom_tools import tool
from tests.node_process import NodeProcess, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_serve_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    echo, port = authority.issue("echo1"), free_port()
    tls = tmp_path / "tls"
    tls.mkdir()
    shutil.copy(authority.certificate, tls / "senders-ca.crt")
    install(authority.issue("node"), tls)
    node = NodeProcess(
        tmp_path,
        free_port(),
        {
            "findings": {"enabled": []},
            "listen.tls": {"enabled": True, "port": port},
            "[listen.sender]": {"ae_title": "ECHO1", "certificate_sha256": [echo.sha256]},
        },
    )
    try:
        node.start()
        command = [tool("storescu"), "-xy", "+tls", str(echo.key), str(echo.certificate)]
        command += ["+cf", str(authority.certificate), "-aet", "ECHO1", "127.0.0.1", str(port)]
        sample = ROOT / "sample_dicom" / "echo_apical_agilent_10f.dcm"
        subprocess.run([*command, str(sample)], check=True, timeout=60)
        assert sum(node.counts()["instances"].values()) == 1

        first = shown(port, authority, echo)
        install(authority.issue("node"), tls)
        node.signal(signal.SIGHUP)
        wait_until(lambda: shown(port, authority, echo) != first, 30.0, "the new certificate")
        (tls / "node.key").write_text("no key")
        node.signal(signal.SIGHUP)
        wait_until(lambda: "the old ones stay" in node.log, 30.0, "the log")
        assert shown(port, authority, echo) != first
        assert node.stop() == 0
    finally:
        node.end()


def install(certificate: Certificate, folder: Path) -> None:
    shutil.copy(certificate.certificate, folder / "node.crt")
    shutil.copy(certificate.key, folder / "node.key")


def shown(port: int, authority: Authority, own: Certificate) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.certificate)
    context.load_cert_chain(own.certificate, own.key)
    with (
        socket.create_connection(("127.0.0.1", port), 10.0) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secure,
    ):
        return secure.getpeercert(binary_form=True)
