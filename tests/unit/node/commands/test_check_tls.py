"""``cardionode check-config`` looks at the TLS files, too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.__main__ import app
from tests.certificates import Authority

SETTINGS = """
[listen.tls]
enabled = true
[[listen.sender]]
ae_title = "ECHO1"
addresses = ["10.0.4.0/24"]
certificate_common_names = ["echo1"]
[[destination]]
name = "pacs"
kind = "c_store"
host = "pacs.example"
port = 2762
ae_title = "PACS"
[destination.tls]
enabled = true
certificate = "tls/node.crt"
key = "tls/node.key"
"""
Check = Callable[[], tuple[int, str]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "ca")


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    for name in ("senders-ca.crt", "pacs-ca.crt"):
        shutil.copy(authority.certificate, folder / name)
    install(authority, folder)
    return folder


def install(authority: Authority, folder: Path, days: tuple[float, float] = (-1, 365)) -> None:
    own = authority.issue("node", days=days)
    shutil.copy(own.certificate, folder / "node.crt")
    shutil.copy(own.key, folder / "node.key")
    (folder / "node.key").chmod(0o600)


@pytest.fixture
def check(tls: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    config = tls.parent / "node.toml"
    config.write_text(SETTINGS, encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "300")

    def run() -> tuple[int, str]:
        result = CliRunner().invoke(app, ["check-config", str(config)])
        return result.exit_code, result.stdout

    return run


def test_good_files_and_what_they_are_for(check: Check) -> None:
    status, text = check()
    assert status == 0
    assert "127.0.0.1:11112 and 127.0.0.1:2762 (TLS)" in text
    assert "ECHO1 from 10.0.4.0/24 with its certificate" in text
    assert "PACS at pacs.example:2762 over TLS" in text
    assert "certificate:" not in text


def test_missing_files_are_named_at_once(check: Check, tls: Path) -> None:
    (tls / "node.key").unlink()
    (tls / "pacs-ca.crt").unlink()
    status, text = check()
    assert status == 2
    for key, name in (
        ("listen.tls.key", "node.key"),
        ("destination[pacs].tls.key", "node.key"),
        ("destination[pacs].tls.ca", "pacs-ca.crt"),
    ):
        assert f"{key}: {tls / name} can't be read: No such file or directory" in text


def test_a_key_of_another_certificate(check: Check, tls: Path, authority: Authority) -> None:
    shutil.copy(authority.issue("other").key, tls / "node.key")
    status, text = check()
    assert status == 2
    assert f"listen.tls.key: {tls / 'node.key'} does not fit the certificate" in text


def test_warnings_are_no_errors(check: Check, tls: Path, authority: Authority) -> None:
    install(authority, tls, days=(-3, -1))
    (tls / "node.key").chmod(0o644)
    status, text = check()
    assert status == 0
    for section in ("listen.tls", "destination[pacs].tls"):
        assert f"{section}.certificate: {tls / 'node.crt'} has expired" in text
        assert f"{section}.key: {tls / 'node.key'} can be read by every user" in text


def test_clients_without_certificates_are_a_warning(check: Check, tls: Path) -> None:
    config = tls.parent / "node.toml"
    config.write_text(
        SETTINGS.replace(
            "enabled = true\n", "enabled = true\nrequire_client_certificate = false\n", 1
        )
    )
    status, text = check()
    assert status == 0
    assert "listen.tls.require_client_certificate: false encrypts" in text
