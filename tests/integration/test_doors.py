"""Listener processes on one port: what they share, and what the death of one costs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from node.errors import ConfigurationError, LedgerWriteError, StorageFullError
from node.ledger.ledger import Ledger
from node.ledger.states import ArrivalOutcome
from tests.certificates import Certificate
from tests.dicom_wire import (
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    DATASET_END,
    IMPLICIT_LE,
    associate_rq,
    dataset,
    p_data,
    read_pdu,
    status_of,
    store_command,
)
from tests.node_process import ROOT, is_running
from tests.running_doors import House, running_doors
from tests.running_listener import send, small_ds, wait_until
from tests.tls_site import REQUEST, Site, client

_REQUEST = associate_rq([(1, CT_IMAGE, [IMPLICIT_LE])])
_SAID_S = 20.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with running_doors(tmp_path) as house:
        yield house


def associated(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address, timeout=10.0)
    sock.sendall(_REQUEST)
    assert read_pdu(sock)[0] == ASSOCIATE_AC
    return sock


def begin(sock: socket.socket, uid: str) -> None:
    """Send a C-STORE request but for its end."""
    sock.sendall(p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), uid.encode())))
    sock.sendall(p_data(1, DATASET, dataset(CT_IMAGE, uid)))


def end(sock: socket.socket) -> int:
    sock.sendall(p_data(1, DATASET_END, b""))
    return status_of(read_pdu(sock)[1])


def serving(house: House) -> list[int]:
    """How many connections of senders each door has now."""
    port = house.address[1]
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01"
    }
    return [len(inodes & _inodes(pid)) for pid in house.doors.pids]


def _inodes(pid: int) -> set[str]:
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(fd.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


# Together


def test_doors_share_senders_and_commits(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        sizes: list[int] = []

        def record(batch):  # type: ignore[no-untyped-def]
            sizes.append(len(batch))
            return ledger.record_arrivals(batch)

        with running_doors(tmp_path, record=record) as house:
            socks = [associated(house.address) for _ in range(6)]
            # Three each, but for a machine so busy that one door sleeps through its turns.
            assert min(serving(house)) >= 1
            assert house.doors.association_count == 6
            for at, sock in enumerate(socks):
                begin(sock, f"1.2.{at}")
            with ThreadPoolExecutor(6) as pool:
                assert list(pool.map(end, socks)) == [0x0000] * 6
            for sock in socks:
                sock.close()
            wait_until(lambda: house.doors.association_count == 0)
            stored = 'node_store_requests_total{ae="TEST",status="0x0000"}'
            wait_until(lambda: house.metric(stored) == 6, _SAID_S)
            assert house.metric('node_arrivals_total{outcome="stored"}') == 6
            assert house.metric("node_store_duration_seconds_count") == 6
            assert house.parts() == []
        assert sum(sizes) == ledger.counts()["instances"]["received"] == 6


def test_what_waits_is_recorded_in_one_commit(house: House) -> None:
    first_waits, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        first_waits.set()
        go_on.wait(_SAID_S)

    house.book.before = hold
    socks = [associated(house.address) for _ in range(6)]
    for at, sock in enumerate(socks):
        begin(sock, f"1.2.{at}")
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(end, sock) for sock in socks]
        assert first_waits.wait(_SAID_S)
        blobs = house.data_dir / "spool" / "obj"
        wait_until(lambda: len(list(blobs.glob("*/*"))) == 6, _SAID_S)
        go_on.set()
        assert [answer.result() for answer in answers] == [0x0000] * 6
    for sock in socks:
        sock.close()
    assert len(house.book.batches) < 6
    assert max(len(batch) for batch in house.book.batches) > 1


def test_a_door_needs_no_torch_and_little_memory(house: House) -> None:
    look = "import node.arrival.door, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=True)
    for pid in house.doors.pids:
        assert "torch" not in Path(f"/proc/{pid}/maps").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmRSS")]
        assert int(line.split()[1]) < 100 << 10


def test_only_uids_that_may_be_ours_are_looked_up(house: House) -> None:
    assert send(house.address, small_ds("1.2.3"), small_ds("2.25.3")) == [0x0000] * 2
    assert house.book.asked == ["2.25.3"]
    assert [each.own_result for each in house.book.arrivals] == [False, True]


def test_the_limit_holds_for_all_doors(tmp_path: Path) -> None:
    with running_doors(tmp_path, max_associations=3) as house:
        socks = [associated(house.address) for _ in range(3)]
        assert sum(serving(house)) == 3
        with socket.create_connection(house.address, timeout=10.0) as late:
            late.sendall(_REQUEST)
            kind, body = read_pdu(late)
        assert (kind, body[1:4]) == (ASSOCIATE_RJ, bytes((2, 3, 2)))
        wait_until(lambda: house.metric('node_refusals_total{reason="local_limit"}') == 1, _SAID_S)
        socks.pop().close()
        wait_until(lambda: house.doors.association_count == 2)
        socks.append(associated(house.address))
        for sock in socks:
            sock.close()


def test_a_refused_sender_is_audited(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running_doors(tmp_path, calling_ae_titles=("ECHO1",)) as house:
        with socket.create_connection(house.address, timeout=10.0) as stranger:
            stranger.sendall(_REQUEST)
            assert read_pdu(stranger)[0] == ASSOCIATE_RJ
        refused = 'node_refusals_total{reason="calling_ae_title"}'
        wait_until(lambda: house.metric(refused) == 1, _SAID_S)
    audit = [line for line in capfd.readouterr().err.splitlines() if '"node.audit"' in line]
    assert len(audit) == 1
    assert '"reason": "calling_ae_title"' in audit[0]


def test_new_tls_files_reach_every_door(tmp_path: Path) -> None:
    site = Site.at(tmp_path / "certificates")
    key, certificate = tmp_path / "node.key", tmp_path / "node.crt"

    def install(issued: Certificate) -> None:
        shutil.copy(issued.key, key)
        shutil.copy(issued.certificate, certificate)

    def shown(house: House) -> list[bytes | None]:
        """What each door shows: callers that stay go to different ones."""
        context, socks = client(site, site.echo), []
        for _ in range(2):
            sock = socket.create_connection(house.doors.tls_address, timeout=10.0)
            socks.append(context.wrap_socket(sock, server_hostname="localhost"))
            socks[-1].sendall(REQUEST)
            assert read_pdu(socks[-1])[0] == ASSOCIATE_AC
        certificates = [sock.getpeercert(binary_form=True) for sock in socks]
        for sock in socks:
            sock.close()
        wait_until(lambda: house.doors.association_count == 0)
        return certificates

    install(site.node)
    tls = site.tls(certificate=certificate, key=key)
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    with running_doors(tmp_path / "data", tls=tls, sender=(sender,)) as house:
        (first,) = set(shown(house))
        install(site.authority.issue("node"))
        house.doors.refresh_tls()
        loaded = 'node_tls_reloads_total{result="loaded",section="listen.tls"}'
        wait_until(lambda: house.metric(loaded) == 2, _SAID_S)
        (second,) = set(shown(house))
        assert second != first


# Failures


@pytest.mark.parametrize("error", [StorageFullError(), LedgerWriteError(), TypeError("P1")])
def test_a_ledger_that_fails_gives_no_success(
    house: House, capfd: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail() -> None:
        raise error

    house.book.before = fail
    assert send(house.address, small_ds("1.2.3")) == [0xA700]
    kind = "LedgerWriteError" if isinstance(error, TypeError) else type(error).__name__
    failed = f'node_store_failures_total{{reason="{kind}"}}'
    wait_until(lambda: house.metric(failed) == 1, _SAID_S)
    house.book.before = lambda: None
    assert send(house.address, small_ds("1.2.3")) == [0x0000]
    assert "P1" not in capfd.readouterr().err


def test_one_refused_arrival_spoils_no_other(tmp_path: Path) -> None:
    def record(batch):  # type: ignore[no-untyped-def]
        return [
            StorageFullError() if arrival.sop_instance_uid == "1.2.2" else ArrivalOutcome.STORED
            for arrival, _ in batch
        ]

    with running_doors(tmp_path, record=record) as house:
        sent = [small_ds(uid) for uid in ("1.2.1", "1.2.2", "1.2.3")]
        assert send(house.address, *sent) == [0x0000, 0xA700, 0x0000]


def test_another_door_comes_for_a_killed_one(house: House) -> None:
    pids = house.doors.pids
    socks = [associated(house.address) for _ in range(4)]
    safe = serving(house)[1]
    assert 1 <= safe <= 3
    for at, sock in enumerate(socks):
        begin(sock, f"1.2.{at}")
    wait_until(lambda: len(house.parts()) == 4)
    house.kill(pids[0])
    answers = []
    for sock in socks:
        with suppress(AssertionError, OSError):
            answers.append(end(sock))
        sock.close()
    assert answers == [0x0000] * safe
    assert len(house.book.arrivals) == safe
    wait_until(lambda: house.parts() == [] and house.doors.association_count == 0, _SAID_S)
    assert house.metric("node_listener_deaths_total") == 1
    assert "1 of 2" in str(house.doors.problem())
    wait_until(lambda: house.doors.problem() is None, _SAID_S)
    assert pids[0] not in house.doors.pids
    assert pids[1] in house.doors.pids
    assert send(house.address, *[small_ds(f"1.2.{at}") for at in range(4)]) == [0x0000] * 4
    held = [associated(house.address) for _ in range(4)]
    assert min(serving(house)) >= 1
    for sock in held:
        sock.close()


def test_a_door_that_hangs_is_not_waited_for(house: House) -> None:
    hung = house.doors.pids[0]
    os.kill(hung, signal.SIGSTOP)
    for at in range(4):
        assert send(house.address, small_ds(f"1.2.{at}")) == [0x0000]
    house.doors.stop(drain_s=0.0)
    assert not is_running(hung)


# The end


def test_running_stores_end_before_the_doors_do(house: House) -> None:
    pids = house.doors.pids
    for pid in pids:  # A terminal tells the whole group.
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    socks = [associated(house.address) for _ in range(2)]
    for at, sock in enumerate(socks):
        begin(sock, f"1.2.{at}")
    wait_until(lambda: len(house.parts()) == 2)
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(house.doors.stop, 10.0)
        wait_until(lambda: not _accepts(house.address))
        assert [end(sock) for sock in socks] == [0x0000] * 2
        stopped.result(timeout=_SAID_S)
    for sock in socks:
        sock.close()
    assert len(house.book.arrivals) == 2
    assert not any(is_running(pid) for pid in pids)


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1.0).close()
    except OSError:
        return False
    return True


def test_a_taken_port_is_a_wrong_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigurationError, match="can't listen on"),
            running_doors(tmp_path, port=port),
        ):
            pass
