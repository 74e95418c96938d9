"""Settings: what is read, and that every problem is named at once."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from node.config import (
    CStoreDestination,
    DestinationTlsSettings,
    FolderDestination,
    Settings,
    load_settings,
    parse_settings,
)
from node.config_listen import ListenSettings, ListenTlsSettings, SenderSettings
from node.errors import ConfigurationError

EXAMPLE = Path("deploy/node.toml")
PACS = '[[destination]]\nname = "pacs"\nkind = "c_store"\nhost = "pacs.local"\nport = 104\n'


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(_write(tmp_path, text))
    return caught.value.problems


def _keys(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


@pytest.fixture
def example() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


def test_example_documents_every_key(example: dict[str, Any]) -> None:
    assert set(example) == _keys(Settings)
    for section, field in Settings.model_fields.items():
        if section != "destination":
            assert isinstance(field.annotation, type)
            # A list of tables can't be shown empty; it is in a comment, and has its own test.
            shown = set(example[section]) | ({"sender"} if section == "listen" else set())
            assert shown == _keys(field.annotation), section
    assert set(example["listen"]["tls"]) == _keys(ListenTlsSettings)
    by_kind = {entry["kind"]: set(entry) for entry in example["destination"]}
    assert set(example["destination"][0]["tls"]) == _keys(DestinationTlsSettings)
    assert by_kind == {"c_store": _keys(CStoreDestination), "folder": _keys(FolderDestination)}


def test_example_documents_a_sender() -> None:
    _, _, rest = EXAMPLE.read_text(encoding="utf-8").partition("\n# [[listen.sender]]\n")
    lines = rest.partition("\n\n")[0].splitlines()
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines))
    assert set(shown) == _keys(SenderSettings)
    shown["certificate_sha256"] = ["00" * 32]
    assert SenderSettings.model_validate(shown).ae_title == "ECHO1"


def test_example_shows_the_defaults(example: dict[str, Any], tmp_path: Path) -> None:
    shown = parse_settings(example, tmp_path)
    assert shown.model_copy(update={"destination": ()}) == parse_settings({}, tmp_path)
    for destination in shown.destination:
        given = {"name", "kind", "host", "port", "ae_title", "path"}
        defaults = type(destination).model_validate(destination.model_dump(include=given))
        assert destination == defaults


def test_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    folder = '[[destination]]\nname = "out"\nkind = "folder"\npath = "results"\n'
    settings = load_settings(_write(tmp_path, '[node]\ndata_dir = "here"\n' + folder))
    assert settings.node.data_dir == tmp_path / "here"
    (destination,) = settings.destination
    assert isinstance(destination, FolderDestination)
    assert destination.path == tmp_path / "results"


def test_units_and_helpers() -> None:
    settings = Settings()
    assert settings.node.reserve_bytes == 1 << 30
    assert settings.listen.max_object_bytes == 4 << 30
    assert settings.findings.wants("ejection_fraction")


def test_chosen_findings(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, '[findings]\nenabled = ["echo_view"]\n'))
    assert settings.findings.wants("echo_view")
    assert not settings.findings.wants("ejection_fraction")


def test_every_problem_at_once(tmp_path: Path) -> None:
    text = (
        '[node]\ndevice = "gpu"\nworkers = 0\nae_titel = "X"\n'
        '[listen]\nport = 70000\nrequire_called_ae_title = "yes"\n'
        "[groupings]\nquiet_s = 3\n" + PACS
    )
    assert _problems(tmp_path, text) == [
        "groupings: there is no such key; did you mean grouping?",
        'node.device: "gpu" is not allowed: auto, cpu, cuda or cuda:N',
        "node.workers: 0 is not allowed: 1 to 64",
        "node.ae_titel: there is no such key; did you mean ae_title?",
        "listen.port: 70000 is not allowed: 1 to 65535",
        'listen.require_called_ae_title: "yes" is not allowed: true or false',
        "destination[pacs].ae_title: this key is needed",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[node]\nae_title = "A\\\\B"\n', "node.ae_title: "),
        ('[node]\nae_title = "SEVENTEEN_LETTERS"\n', "node.ae_title: "),
        ('[node]\nlog_level = "loud"\n', "debug, info, warning or error"),
        ("[node]\nworkers = 1.5\n", "node.workers: 1.5 is not allowed: a whole number"),
        ('[listen]\nport = "104"\n', 'listen.port: "104" is not allowed: a whole number'),
        ("[listen]\ncalling_ae_titles = [1]\n", "listen.calling_ae_titles.0: 1 is not allowed"),
        ("[listen]\nprocesses = 0\n", "listen.processes: 0 is not allowed: auto, or 1 to 32"),
        ("[listen]\nprocesses = 33\n", "listen.processes: 33 is not allowed: auto, or 1 to 32"),
        ("[listen]\nprocesses = true\n", "listen.processes: true is not allowed: auto, or 1"),
        ('[listen]\nprocesses = "two"\n', 'listen.processes: "two" is not allowed: auto, or 1'),
        ("[grouping]\nquiet_s = 0\n", "grouping.quiet_s: 0 is not allowed: more than 0"),
        ("[grouping]\nquiet_s = nan\n", "grouping.quiet_s: nan is not allowed: more than 0"),
        ("[findings]\nenabled = 3\n", 'findings.enabled: 3 is not allowed: "all" or a list'),
        ("listen = 3\n", "listen: 3 is not allowed: a table"),
        ('[destination]\nname = "x"\n', "destination: write each one under its own"),
        ('[[destination]]\nname = "x"\n', "destination[x].kind: this key is needed: c_store"),
        ('[[destination]]\nkind = "ftp"\n', 'destination[1].kind: "ftp" is not allowed'),
        ('[[destination]]\nname="a/b"\nkind="folder"\npath="p"\n', "destination[a/b].name: "),
        ("[delivery]\nfirst_retry_s = 1000\n", "at most delivery.max_retry_s (900)"),
        ("[pairing]\nwindow_days = 0\n", "pairing.window_days: 0 is not allowed: more than 0"),
        ("[pairing]\nexpire_after_days = 3\n", "at least pairing.window_days (7)"),
        ('[pairing]\nsingle_modality = "yes"\n', '"yes" is not allowed: true or false'),
        ("[pairing]\nwindow = 7\n", "pairing.window: there is no such key; did you mean"),
        ("[status_page]\nport = 11112\n", "status_page.port: 11112 is listen.port already"),
    ],
)
def test_problem(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = _problems(tmp_path, text)
    assert problem in found


@pytest.mark.parametrize(
    ("processes", "cores", "doors"),
    [("auto", 1, 1), ("auto", 3, 1), ("auto", 4, 2), ("auto", 7, 3), ("auto", 64, 4), (5, 1, 5)],
)
def test_as_many_listen_as_the_machine_can_use(
    processes: Literal["auto"] | int, cores: int, doors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert ListenSettings(processes=processes).door_count == doors


TLS = "[listen.tls]\nenabled = true\n"
SENDER = '[[listen.sender]]\nae_title = "E"\n'
BOUND = SENDER + 'certificate_common_names = ["e"]\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[listen]\nplain = false\n", "listen: plain and tls.enabled are both false"),
        ("[listen.tls]\nport = 0\n", "listen.tls.port: 0 is not allowed: 1 to 65535"),
        ("[listen.tls]\nenable = true\n", "listen.tls.enable: there is no such key; did you mean"),
        ("[listen]\ntls = true\n", "listen.tls: true is not allowed: a table"),
        (TLS, "listen.tls.bound_certificates_only: no [[listen.sender]] names a certificate"),
        (TLS + "port = 11112\n" + BOUND, "listen.tls.port: 11112 is listen.port already"),
        (TLS + "port = 8042\n" + BOUND, "status_page.port: 8042 is listen.tls.port already"),
        (BOUND, "listen.sender: a certificate is named, but listen.tls.enabled is false"),
        ("[[listen.sender]]\n", "listen.sender.0.ae_title: this key is needed"),
        (SENDER + "address = 3\n", "listen.sender.0.address: there is no such key; did you mean"),
        (
            SENDER + 'addresses = ["10.0.4.7/24"]\n',
            "an IP address, or a network such as 10.0.4.0/24",
        ),
        (SENDER + 'addresses = ["pacs"]\n', 'listen.sender.0.addresses.0: "pacs" is not allowed'),
        (SENDER + 'certificate_sha256 = ["ab"]\n', "a SHA-256 fingerprint: 64 hex digits"),
        ('[listen]\ncalling_ae_titles = ["E "]\n' + SENDER, "has a [[listen.sender]] already"),
        (PACS + 'ae_title = "P"\ntls.key = "k"\n', "certificate and key belong together"),
        (
            PACS + 'ae_title = "P"\ntls.kee = "k"\n',
            "destination[pacs].tls.kee: there is no such key",
        ),
    ],
)
def test_problem_of_who_may_send(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = _problems(tmp_path, text)
    assert problem in found


def test_tls_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    pacs = PACS + 'ae_title = "P"\n[destination.tls]\nenabled = true\nca = "/etc/ca"\n'
    settings = load_settings(_write(tmp_path, TLS + 'key = "k"\n' + BOUND + pacs))
    assert settings.listen.tls.key == tmp_path / "k"
    assert settings.listen.tls.certificate == tmp_path / "tls" / "node.crt"
    (destination,) = settings.destination
    assert isinstance(destination, CStoreDestination)
    assert destination.tls.ca == Path("/etc/ca")
    assert destination.tls.certificate is None
    assert settings.listen.ports == {"listen.port": 11112, "listen.tls.port": 2762}


def test_destinations_need_their_own_names(tmp_path: Path) -> None:
    pacs = PACS + 'ae_title = "PACS"\n'
    (found,) = _problems(tmp_path, pacs * 3)
    assert found.startswith("destination[pacs].name: 3 destinations have this name")


@pytest.mark.parametrize("listens", ["127.0.0.1", "0.0.0.0", "localhost"])
@pytest.mark.parametrize("sends", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_results_may_not_come_back(tmp_path: Path, listens: str, sends: str) -> None:
    text = (
        f'[listen]\nhost = "{listens}"\nport = 104\n[[destination]]\nname = "self"\n'
        f'kind = "c_store"\nhost = "{sends}"\nport = 104\nae_title = "CARDIONODE"\n'
    )
    (found,) = _problems(tmp_path, text)
    assert found.startswith("destination[self].port: this is the node's own address")
    load_settings(_write(tmp_path, text.replace("port = 104\nae_title", "port = 105\nae_title")))


def test_toml_errors_have_a_line(tmp_path: Path) -> None:
    (found,) = _problems(tmp_path, "[node]\nworkers = \n")
    assert "not valid TOML" in found
    assert "line 2" in found


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_settings(tmp_path / "absent.toml")
    path = tmp_path / "node.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_settings(path)


def test_data_dir_below_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    (found,) = _problems(tmp_path, '[node]\ndata_dir = "taken/var"\n')
    assert found.startswith("node.data_dir: ")
    assert "is not one" in found


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_data_dir_that_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (found,) = _problems(tmp_path, '[node]\ndata_dir = "locked/var"\n')
    assert "is not writable" in found


def test_commitment_is_asked_for_on_request(tmp_path: Path) -> None:
    pacs = {"name": "a", "kind": "c_store", "host": "pacs", "port": 104, "ae_title": "PACS"}
    wanted = {**pacs, "name": "b", "commitment": True, "commitment_wait_s": 0.0}
    settings = parse_settings({"destination": [pacs, wanted]}, tmp_path)
    plain, committing = settings.destination
    assert isinstance(plain, CStoreDestination)
    assert isinstance(committing, CStoreDestination)
    assert (plain.commitment, committing.commitment) == (False, True)
    assert (committing.commitment_wait_s, committing.commitment_attempts) == (0.0, 3)


@pytest.mark.parametrize(
    ("key", "value"),
    [("commitment", 1), ("commitment_attempts", 0), ("commitment_timeout_s", 0.0)],
)
def test_commitment_keys_are_checked(tmp_path: Path, key: str, value: object) -> None:
    pacs = {"name": "a", "kind": "c_store", "host": "pacs", "port": 104, "ae_title": "PACS"}
    with pytest.raises(ConfigurationError, match=rf"destination\[a\]\.{key}"):
        parse_settings({"destination": [{**pacs, key: value}]}, tmp_path)
