"""The campaigns' own judges: they see what is wrong, and only that."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.campaigns.disk import Disk, ways
from tests.campaigns.memory import MemoryCurve
from tests.campaigns.mutation import mutate
from tests.campaigns.syscalls import Call, calls, undurable_answers


def _hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


_ANSWER = json.dumps({"name": "a", "status": 0, "sha256": "d1"}) + "\n"
_PART, _BLOB, _WAL = "/v/in/x.part", "/v/obj/d1/d1.dcm", "/v/ledger.sqlite-wal"
_GOOD = [
    f'1 write(7<{_hex(_PART)}>, "{_hex("abc")}", 3) = 3',
    f"1 fdatasync(7<{_hex(_PART)}> <unfinished ...>",
    f'2 pwrite64(8<{_hex(_WAL)}>, "{_hex("frame")}", 5, 32) = 5',
    "1 <... fdatasync resumed>) = 0",
    f'1 rename("{_hex(_PART)}", "{_hex(_BLOB)}") = 0',
    f"1 fsync(9<{_hex('/v/obj/d1')}>) = 0",
    f"2 fdatasync(8<{_hex(_WAL)}>) = 0",
    f'1 sendto(4<{_hex("socket:[1]")}>, "{_hex(_ANSWER)}", 50, 0, NULL, 0) = 50',
]


def test_a_log_is_read_across_threads() -> None:
    assert [call.name for call in calls("\n".join(_GOOD))] == [
        "write", "pwrite64", "fdatasync", "rename", "fsync", "fdatasync", "sendto",
    ]  # fmt: skip
    assert undurable_answers("\n".join(_GOOD)) == []


@pytest.mark.parametrize(
    "log",
    [
        pytest.param([*_GOOD[:1], *_GOOD[4:]], id="the part was not synced"),
        pytest.param([*_GOOD[:5], *_GOOD[6:]], id="the folder was not synced"),
        pytest.param([*_GOOD[:6], *_GOOD[7:]], id="the row was not synced"),
        pytest.param([*_GOOD[:4], *_GOOD[5:]], id="the blob has no name"),
        pytest.param([*_GOOD[:5], _GOOD[6], _GOOD[5], _GOOD[7]], id="the row came first"),
        pytest.param(
            [each.replace("= 0", "= -1 EIO (INJECTED)") if "fsync" in each else each
             for each in _GOOD],
            id="the sync of the folder failed",
        ),
        pytest.param(
            [*_GOOD[:3], "1 <... fdatasync resumed>) = -1 EIO (INJECTED)", *_GOOD[4:]],
            id="the sync of the part failed",
        ),
    ],
)  # fmt: skip
def test_a_success_too_early_is_seen(log: list[str]) -> None:
    assert undurable_answers("\n".join(log)) == ["d1"]


def _call(name: str, *texts: str, path: str = "", flags: str = "", opened: str = "") -> Call:
    data = tuple(text.encode() for text in texts)
    result = len(data[0]) if name == "write" else 0
    return Call(name, (path,) if path else (), data, flags, result, False, opened)


def _states(disk: Disk, folder: Path) -> set[tuple[tuple[str, bytes], ...]]:
    found = set()
    for number, (_, keep) in enumerate(ways(disk.unsafe, random.Random(1), 400)):
        place = folder / str(number)
        disk.materialise(place, keep)
        found.add(
            tuple(
                (str(path.relative_to(place)), path.read_bytes())
                for path in sorted(place.rglob("*"))
                if path.is_file()
            )
        )
    return found


def test_what_is_not_synced_may_be_lost_torn_or_there(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    disk, after = Disk(root), tmp_path / "after"
    after.mkdir()
    part, name = str(root / "a" / "x.part"), str(root / "x")
    disk.apply(_call("openat", part, flags="O_WRONLY|O_CREAT", opened=part))
    disk.apply(_call("write", "abcd", path=part))
    states = _states(disk, after)
    assert () in states
    assert {(("a/x.part", b"abcd"),), (("a/x.part", b""),), (("a/x.part", b"\0" * 4),)} <= states
    assert any(0 < len(each[0][1]) < 4 for each in states if each)

    disk.apply(_call("fdatasync", path=part))
    disk.apply(_call("fsync", path=str(root / "a")))
    disk.apply(_call("rename", part, name))
    (tmp_path / "renamed").mkdir()
    states = _states(disk, tmp_path / "renamed")
    assert {tuple(path for path, _ in each) for each in states} == {
        ("a/x.part",), ("x",), ("a/x.part", "x"),
    }  # fmt: skip
    assert {content for each in states for _, content in each} == {b"abcd"}

    disk.apply(_call("fsync", path=str(root)))
    disk.apply(_call("fsync", path=str(root / "a")))
    (tmp_path / "synced").mkdir()
    assert disk.unsafe == []
    assert _states(disk, tmp_path / "synced") == {(("x", b"abcd"),)}


def test_damage_is_the_same_for_the_same_seed() -> None:
    whole = bytes(range(256)) * 4
    some = [mutate(whole, random.Random(seed), first=10) for seed in range(50)]
    assert some == [mutate(whole, random.Random(seed), first=10) for seed in range(50)]
    assert len(set(some)) > 45
    assert all(each[:10] == whole[:10] for each in some)


def test_a_leak_has_a_slope(tmp_path: Path) -> None:
    curve = MemoryCurve(list(range(0, 2000, 100)), [50 + n * 0.002 for n in range(0, 2000, 100)])
    assert curve.mib_per_1000 == pytest.approx(2.0)
    curve.draw(tmp_path / "memory.png", "a leak")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
