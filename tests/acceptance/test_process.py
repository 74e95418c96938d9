"""`cardionode process` says of each instance what a cardiologist would call right."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
from pydicom import Dataset, dcmread

from node.findings import FINDINGS
from tests.node_process import ROOT, run_cardionode

SAMPLES, OTHERS = ROOT / "sample_dicom", ROOT / "tests/data"
_LVEF = re.compile(r"LVEF (\d+) % \((A4C|A2C)\)")
_NAME = re.compile(r"90\d\d_[a-z_]+_(sr|capture)(_\d+)?")
_TWIN = "an earlier instance has the same SOP Instance UID and other bytes"
_WORK_S = 280.0

Row = tuple[str, str, str]


@dataclass(frozen=True)
class _Processed:
    """A run of the command.

    Attributes
    ----------
    rows
        What the table says: finding, result and reason, by instance.
    """

    run: subprocess.CompletedProcess[str]
    rows: dict[str, list[Row]]
    out: Path

    @property
    def reports(self) -> list[Path]:
        return sorted(self.out.rglob("*_sr*.dcm"))


def _process(paths: list[Path], out: Path) -> _Processed:
    run = run_cardionode("process", *map(str, paths), "--out", str(out), within_s=_WORK_S)
    return _Processed(run, dict(_table(run.stdout)), out)


def _table(text: str) -> Iterator[tuple[str, list[Row]]]:
    lines = iter(text.splitlines())
    header = next((line for line in lines if line.startswith("instance")), "")
    starts = [header.find(name) for name in ("finding", "result", "reason")]
    rows: list[Row] = []
    for line in lines:
        first, second, third = starts
        name = line[:first].strip()
        cells = (line[first:second].strip(), line[second:third].strip(), line[third:].strip())
        if not any(cells[1:]):
            return
        if name:
            rows = []
            yield name, rows
        rows.append(cells)


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> _Processed:
    folder = tmp_path_factory.mktemp("process")
    return _process([SAMPLES, OTHERS], folder / "out")


@pytest.mark.slow
def test_every_instance_is_told(processed: _Processed) -> None:
    assert processed.run.returncode == 0, processed.run.stderr
    folders = (SAMPLES, OTHERS)
    real = {path.name for folder in folders for path in folder.rglob("*.dcm")}
    assert real == set(processed.rows)
    assert "PHANTOM-" not in processed.run.stdout + processed.run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("echo_colour_acuson_fragmented.dcm", "colour Doppler clip"),
        ("echo_tee_colour_still_pl.dcm", "colour Doppler still"),
        ("us_obstetric_palette.dcm", "not cardiac"),
        ("us_probe_in_air.dcm", "not cardiac"),
        ("us_lymph_node_rgb.dcm", ""),
    ],
)
def test_what_is_no_grey_echo_is_not_routed(processed: _Processed, name: str, reason: str) -> None:
    ((finding, result, said),) = processed.rows[name]
    assert (finding, result) == ("-", "not routed")
    assert said and reason in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["echo_a4c_sonosite_30f_small.dcm", "echo_tee_colour_still_px.dcm"]
)
def test_a_twin_is_put_aside(processed: _Processed, name: str) -> None:
    assert processed.rows[name] == [("-", "quarantined", _TWIN)]


@pytest.mark.slow
def test_only_apical_clips_of_a_beat_have_an_ejection_fraction(processed: _Processed) -> None:
    told = {
        name
        for name, rows in processed.rows.items()
        for _, result, _ in rows
        if _LVEF.fullmatch(result)
    }
    assert told <= {"echo_a4c_sonosite_120f.dcm", "a4c.dcm", "a2c.dcm"}
    assert told & {"a4c.dcm", "a2c.dcm"}
    # A still has a view; an ejection fraction is not even asked of it.
    view, *others = processed.rows["echo_still_epiq7_jpeg_lossless.dcm"]
    assert view[0] == "Echo view" and view[1].split()[0] in ("PLAX", "PSAX", "A4C", "A2C", "other")
    assert "Left ventricular ejection fraction" not in {finding for finding, _, _ in others}
    # The short clip and the real one have either an answer or a reason.
    for name in ("echo_apical_agilent_10f.dcm", "echo_a4c_sonosite_120f.dcm"):
        for _, result, reason in processed.rows[name]:
            assert reason or "not" not in result


@pytest.mark.slow
def test_the_simulated_record_gets_every_finding(processed: _Processed) -> None:
    answered = {
        finding
        for name in ("plax.dcm", "psax.dcm", "a4c.dcm", "a2c.dcm", "cxr.dcm")
        for finding, result, _ in processed.rows[name]
        if result not in ("not applicable", "not analysed", "failed")
    }
    assert answered == {finding.title for finding in FINDINGS}
    ((_, result, reason),) = processed.rows["cxr.dcm"]
    assert result.startswith("AS ") and "paired with an ECG" in reason


@pytest.mark.slow
def test_real_ecg_and_film_wait_for_a_partner_and_others_are_refused(
    processed: _Processed,
) -> None:
    ((_, _, film),) = processed.rows["cxr_pa_philips_j2k.dcm"]
    ((_, _, ecg),) = processed.rows["ecg12_mortara_1000hz.dcm"]
    assert "waits for an ECG" in film and "outside the training distribution" in film
    assert "waits for a chest X-ray" in ecg
    ((_, result, reason),) = processed.rows["dx_animal_thorax.dcm"]
    assert result == "not analysed" and reason


@pytest.mark.slow
def test_reports_say_what_the_table_says(processed: _Processed) -> None:
    values: list[float] = []
    for path in processed.reports:
        groups = [item for item in _items(dcmread(path)) if _code(item) == "125007"]
        for number in (item for group in groups[1:] for item in _items(group)):
            if number.ValueType == "NUM" and _code(number) == "18043-0":
                values.append(float(number.MeasuredValueSequence[0].NumericValue))
    shown = [
        float(match[1])
        for rows in processed.rows.values()
        for _, result, _ in rows
        if (match := _LVEF.fullmatch(result))
    ]
    assert len(values) == len(shown) > 0
    assert all(abs(v - s) <= 0.6 for v, s in zip(sorted(values), sorted(shown), strict=True))
    assert all(5.0 <= value <= 90.0 for value in values)


@pytest.mark.slow
def test_what_could_not_be_made_is_reported_with_its_reason(processed: _Processed) -> None:
    told = [
        reason.rstrip(".")
        for rows in processed.rows.values()
        for _, result, reason in rows
        if result in ("not analysed", "failed")
    ]
    texts = [
        item.TextValue
        for path in processed.reports
        if path.stem.startswith("9000_not_analysed_sr")
        for item in _items(dcmread(path))
        if item.ValueType == "TEXT"
    ]
    assert told
    assert [reason for reason in told if not any(reason in text for text in texts)] == []


@pytest.mark.slow
def test_an_instance_that_is_cut_off_is_reported(tmp_path: Path) -> None:
    whole = (SAMPLES / "phantom/plax.dcm").read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/cut.dcm").write_bytes(whole[: len(whole) // 2])
    done = _process([tmp_path / "in"], tmp_path / "out")
    assert done.run.returncode == 1
    ((_, result, reason),) = done.rows["cut.dcm"]
    assert result == "quarantined" and "can't be decoded" in reason
    (report,) = done.reports
    assert report.name == "9000_not_analysed_sr.dcm"
    said = [item.TextValue for item in _items(dcmread(report)) if item.ValueType == "TEXT"]
    assert any(reason in text for text in said)


@pytest.mark.slow
def test_the_folder_is_laid_out_as_promised(processed: _Processed) -> None:
    files = [path for path in processed.out.rglob("*") if path.is_file()]
    objects = [path for path in files if path.suffix == ".dcm"]
    assert f"{len(objects)} results in {processed.out}" in processed.run.stdout
    assert {path.suffix for path in files} == {".dcm", ".png"}
    for path in objects:
        ds = dcmread(path, stop_before_pixels=True)
        name = _NAME.fullmatch(path.stem)
        assert name is not None
        assert path.parent == processed.out / ds.StudyInstanceUID
        assert int(path.stem[:4]) == ds.SeriesNumber
        assert (name[1] == "sr") == (ds.Modality == "SR")
        picture = path.with_suffix(".png")
        assert picture.exists() == (name[1] == "capture")
        if picture.exists():
            image = cv2.imread(str(picture))
            assert image is not None and image.shape == (ds.Rows, ds.Columns, 3)
            assert image.std() > 1.0


@pytest.mark.slow
def test_what_is_not_dicom_is_named_and_fails_the_command(tmp_path: Path) -> None:
    readme = SAMPLES / "README.md"
    whole = SAMPLES / "echo_tee_colour_still_pl.dcm"
    done = _process([readme, whole], tmp_path / "out")
    assert done.run.returncode == 1
    assert "Not taken" in done.run.stdout and "README.md" in done.run.stdout
    assert done.rows[whole.name][0][1] == "not routed"


@pytest.mark.slow
def test_an_out_that_can_not_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    done = _process([SAMPLES / "echo_apical_agilent_10f.dcm"], tmp_path / "out")
    assert done.run.returncode == 2
    assert "out" in done.run.stderr


def test_nothing_found_is_status_2(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = _process([tmp_path / "in"], tmp_path / "out")
    assert done.run.returncode == 2
    assert "No DICOM instances" in done.run.stderr


def test_check_config_names_every_problem(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        '[listen]\nport = 70000\n[findings]\nenabled = ["echo_veiw"]\n'
        '[[destination]]\nname = "pacs"\nkind = "fax"\n',
        encoding="utf-8",
    )
    done = run_cardionode("check-config", str(config))
    assert done.returncode == 2
    for key in ("listen.port", "findings.enabled", "destination"):
        assert key in done.stdout
    good = run_cardionode("check-config", str(ROOT / "deploy/node.toml"))
    assert good.returncode == 0, good.stdout


def test_status_without_a_ledger_is_status_1(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text('[node]\ndata_dir = "var"\n', encoding="utf-8")
    done = run_cardionode("status", "--json", "--config", str(config))
    assert done.returncode == 1
    assert done.stderr and "Traceback" not in done.stderr


def _items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _code(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)
