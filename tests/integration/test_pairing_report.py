"""Stenosis screening from real instances of two studies to the bytes of its reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.commands.outcome_table import _TITLES, outcome_table
from node.decode.pool import DecodePool
from node.findings.stenosis_screening import StenosisScreening
from node.results import codes
from node.results.validate import validate_result
from tests.dicom_tools import dciodvfy_errors
from tests.pairing_bench import Bench, ecg, film

FILM_STUDY, ECG_STUDY = "2.25.11", "2.25.12"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecodePool]:
    pool = DecodePool(1, 3072, 120.0, 2048, tmp_path_factory.mktemp("decoder") / "scratch")
    yield pool
    pool.close()


@pytest.fixture
def bench(tmp_path: Path, decoder: DecodePool) -> Iterator[Bench]:
    with Bench(tmp_path, decoder) as made:
        yield made


def only(paths: list[Path]) -> Dataset:
    (path,) = paths
    ds = dcmread(path)
    validate_result(ds)
    assert dciodvfy_errors(path) == []
    return ds


def items(ds: Dataset, code: str) -> list[Dataset]:
    """The content items with a concept name, at every depth."""
    found = []
    for item in ds.get("ContentSequence") or []:
        name = item.get("ConceptNameCodeSequence")
        if name and name[0].CodeValue == code:
            found.append(item)
        found += items(item, code)
    return found


def evidence(ds: Dataset, keyword: str) -> dict[str, list[str]]:
    """SOP Instance UIDs by study."""
    return {
        str(study.StudyInstanceUID): [
            str(instance.ReferencedSOPInstanceUID)
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        ]
        for study in ds.get(keyword) or []
    }


@pytest.mark.parametrize("ecg_first", [False, True])
def test_a_pair_is_reported_on_the_film_and_the_ecg_gets_its_picture(
    bench: Bench, ecg_first: bool
) -> None:
    first, second = (ecg(), film()) if ecg_first else (film(), ecg())
    bench.take(first)
    bench.report()
    assert bench.results(FILM_STUDY) == bench.results(ECG_STUDY) == []
    bench.take(second)
    bench.report()
    report = only(bench.results(FILM_STUDY))
    assert bench.results(ECG_STUDY) == []
    assert (report.PatientID, report.StudyInstanceUID) == ("P1", FILM_STUDY)
    assert report.SeriesNumber == 9060
    (number,) = [i for i in items(report, codes.PROBABILITY.value) if i.ValueType == "NUM"]
    assert float(number.MeasuredValueSequence[0].NumericValue) == pytest.approx(60.0, abs=0.1)
    (region,) = number.ContentSequence
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
        f"{FILM_STUDY}.1.1"
    )
    x, y = region.GraphicData[::2], region.GraphicData[1::2]
    # The heat's centre (130, 140) of 224 in the square around 461 columns and 489 rows.
    assert min(x) < 130.5 * 489 / 224 - 14 < max(x)
    assert min(y) < 140.5 * 489 / 224 < max(y)
    (presence,) = items(report, codes.AORTIC_STENOSIS.value)
    assert presence.ConceptCodeSequence[0].CodeValue == codes.PRESENT.value
    (comment,) = [
        i.TextValue for i in items(report, codes.COMMENT.value) if i.TextValue.startswith("AS ")
    ]
    assert comment == "AS 60 %: X-ray + ECG -2.0 d - RESEARCH USE ONLY"
    (waveform,) = items(report, codes.WAVEFORM.value)
    assert waveform.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == f"{ECG_STUDY}.1.1"
    texts = [i.TextValue for i in items(report, codes.COMMENT.value)]
    assert any("together with an ECG 2.0 days before" in text for text in texts)
    current = evidence(report, "CurrentRequestedProcedureEvidenceSequence")
    film_capture = only(bench.results(FILM_STUDY, "capture"))
    assert list(current) == [FILM_STUDY]
    assert set(current[FILM_STUDY]) == {f"{FILM_STUDY}.1.1", film_capture.SOPInstanceUID}
    assert evidence(report, "PertinentOtherEvidenceSequence") == {ECG_STUDY: [f"{ECG_STUDY}.1.1"]}
    picture = only(bench.results(ECG_STUDY, "capture"))
    assert (picture.StudyInstanceUID, picture.SeriesNumber) == (ECG_STUDY, 9061)
    (source,) = picture.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert source.ReferencedSOPInstanceUID == f"{ECG_STUDY}.1.1"


def test_a_nearer_ecg_makes_a_revision_that_names_its_predecessor(bench: Bench) -> None:
    bench.take(film())
    bench.take(ecg())
    bench.report()
    old = dcmread(bench.results(FILM_STUDY)[0])
    bench.networks.ecg_score = -2.0
    bench.take(ecg("2.25.13", "20240111"))
    bench.report()
    new = dcmread(bench.results(FILM_STUDY)[-1])
    validate_result(new)
    assert (old.InstanceNumber, new.InstanceNumber) == (1, 2)
    assert evidence(new, "PredecessorDocumentsSequence") == {FILM_STUDY: [old.SOPInstanceUID]}
    assert evidence(new, "PertinentOtherEvidenceSequence") == {"2.25.13": ["2.25.13.1.1"]}
    (presence,) = items(new, codes.AORTIC_STENOSIS.value)
    assert presence.ConceptCodeSequence[0].CodeValue == codes.ABSENT.value


def test_the_same_work_makes_the_same_bytes(tmp_path: Path, decoder: DecodePool) -> None:
    written = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with Bench(tmp_path / name, decoder) as bench:
            for each in (film(), ecg()):
                bench.take(each)
            bench.report()
            written.append(bench.results(FILM_STUDY)[0].read_bytes())
    assert written[0] == written[1]


def test_what_waits_says_for_what(bench: Bench) -> None:
    bench.take(film())
    bench.take(ecg(date="20231201"))
    bench.report()
    for study, words in ((FILM_STUDY, "an ECG"), (ECG_STUDY, "a chest X-ray")):
        (instance,) = bench.study(study).instances
        assert instance.disposition.state.value == "pending"
        assert instance.disposition.reason.startswith(f"waits for {words} within 7 days")
    table = outcome_table([bench.study(FILM_STUDY)], {})
    assert "waits for an ECG within 7 days" in str(next(iter(table.columns[3].cells)))


def test_the_table_tells_the_answer_of_the_pair(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whether or not the weights of this finding ship
    monkeypatch.setitem(_TITLES, StenosisScreening.name, StenosisScreening())
    bench.take(film())
    bench.take(ecg())
    studies = [bench.study(FILM_STUDY), bench.study(ECG_STUDY)]
    said = list(outcome_table(studies, {}).columns[2].cells)
    assert str(said[0]) == "AS 60 %: X-ray with an ECG 2.0 days before"
    assert str(said[1]).startswith("ECG part of stenosis screening, score +0.6")


def test_expiry_reports_the_film_as_not_analysed(bench: Bench) -> None:
    bench.take(film())
    bench.report()
    bench.clock.now += 14 * 86_400
    assert bench.ledger.expire_pairings() == 1
    bench.report()
    report = only(bench.results(FILM_STUDY))
    assert report.SeriesNumber == 9000
    assert any("did not come in 14 days" in i.TextValue for i in items(report, "121071"))


def test_a_lateral_film_is_not_analysed_and_never_waits(bench: Bench) -> None:
    bench.take(film(ViewPosition="LL"))
    bench.take(ecg())
    (row,) = bench.study(FILM_STUDY).outcomes
    assert (row.outcome.state, row.outcome.reason) == (
        "not_analysed",
        "the view is LL, not PA or AP",
    )
    assert bench.study(FILM_STUDY).pairings == ()


@pytest.mark.parametrize("which", ["film", "ecg"])
def test_one_modality_alone_says_so(
    tmp_path: Path, decoder: DecodePool, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_TITLES, StenosisScreening.name, StenosisScreening())
    with Bench(tmp_path, decoder, single_modality=True) as bench:
        bench.take(film() if which == "film" else ecg())
        bench.report()
        study = FILM_STUDY if which == "film" else ECG_STUDY
        report = only(bench.results(study))
        comments = [i.TextValue for i in items(report, codes.COMMENT.value)]
        alone = "X-ray ALONE, no ECG" if which == "film" else "ECG ALONE, no X-ray"
        assert any(alone in text for text in comments)
        (said,) = outcome_table([bench.study(study)], {}).columns[2].cells
        assert str(said) == f"AS {57 if which == 'film' else 65} %: {alone}"
        (presence,) = items(report, codes.AORTIC_STENOSIS.value)
        # 57 % of 40 for the film, 65 % of 70 for the ECG
        expected = codes.PRESENT if which == "film" else codes.ABSENT
        assert presence.ConceptCodeSequence[0].CodeValue == expected.value
        bench.take(ecg() if which == "film" else film())
        bench.report()
        pair = dcmread(bench.results(FILM_STUDY)[-1])
        assert evidence(pair, "PertinentOtherEvidenceSequence") == {ECG_STUDY: [f"{ECG_STUDY}.1.1"]}
