"""New TLS files for a running listener; bad ones change nothing."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.certificates import Certificate
from tests.dicom_wire import (
    ASSOCIATE_AC,
    read_pdu,
    status_of,
)
from tests.running_listener import Node, running
from tests.tls_site import (
    REQUEST,
    STORE,
    Site,
    answer,
    client,
    connect,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.at(tmp_path_factory.mktemp("certificates"))


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *product(("certificate", "key", "ca"), (None, "", "no PEM")),
        ("certificate", "other"),  # Another CA would be a good file.
        ("key", "other"),
    ],
)
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
