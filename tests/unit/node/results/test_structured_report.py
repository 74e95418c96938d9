"""Reports: what they say, read back from their bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from node.errors import InvalidResultError
from node.results import codes
from node.results.primitives import Group, ImageReference, NotAnalysed, StudyResult, Weights
from node.results.report_content import shown_comment
from node.results.structured_report import ReportContext, build_reasons_report, build_report
from node.results.uids import derive_uid
from node.results.validate import validate_result
from tests.results_objects import (
    ALGORITHM,
    ROOT,
    SAMPLES,
    STATEMENT,
    header,
    lvef_result,
    reasons_report,
    reference,
    report_context,
    unusual_result,
    view_result,
)


def _bytes(report: Dataset) -> bytes:
    buffer = BytesIO()
    report.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _built(
    result: StudyResult, sources: list[Dataset], context: ReportContext | None = None
) -> Dataset:
    """A report, validated and read back from its bytes."""
    report = build_report(result, sources, context or report_context())
    validate_result(report)
    return dcmread(BytesIO(_bytes(report)))


def _items(ds: Dataset, value: str, kind: str = "") -> list[Dataset]:
    """All content items whose concept has this code value."""
    found = []
    for item in _tree(ds):
        names = item.get("ConceptNameCodeSequence")
        if names and names[0].CodeValue == value and kind in ("", item.ValueType):
            found.append(item)
    return found


def _tree(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence") or []:
        yield item
        yield from _tree(item)


def test_says_what_the_result_says() -> None:
    source = header()
    report = _built(lvef_result(source), [source])
    groups = _items(report, "125007")
    assert [_items(g, "112039")[0].TextValue for g in groups] == [
        "LVEF study",
        "LVEF clip 1",
        "LVEF clip 2",
    ]
    first = groups[0]
    number = _items(first, codes.LVEF.value, "NUM")[0]
    assert float(number.MeasuredValueSequence[0].NumericValue) == 55.1
    (region,) = number.ContentSequence
    assert (region.ValueType, region.GraphicType) == ("SCOORD", "POLYLINE")
    assert len(region.GraphicData) == 2 * 33
    image = region.ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.ReferencedFrameNumber == 9
    views = [_items(g, "111031")[0].ConceptCodeSequence[0].CodeValue for g in groups]
    assert views == [codes.VIEW_A4C.value, codes.VIEW_A4C.value, codes.VIEW_A2C.value]
    assert _items(first, "121106")[0].TextValue == "LVEF 55 %, study - RESEARCH USE ONLY"
    assert [i.TextValue for i in _items(first, "111002")][1] == STATEMENT


def test_says_what_could_not_be_analysed_beside_the_groups() -> None:
    source = header()
    report = _built(lvef_result(source), [source])
    (evaluations,) = _items(report, "C0034375")
    statement, reason = evaluations.ContentSequence
    assert STATEMENT in statement.TextValue
    assert "RESEARCH USE ONLY" in statement.TextValue
    assert "not analysed: no complete heart beat in the clip" in reason.TextValue
    image = reason.ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_says_how_unusual_each_input_is() -> None:
    source = header()
    report = _built(unusual_result(source), [source])
    where = [_items(group, "input-training")[0] for group in _items(report, "125007")]
    values = [item.ConceptCodeSequence[0].CodeValue for item in where]
    assert values == ["outside-training", "outside-training", "inside-training"]
    assert report.CodingSchemeIdentificationSequence
    (evaluations,) = _items(report, "C0034375")
    said = [item.TextValue for item in evaluations.ContentSequence]
    assert said[1:4] == [
        "LVEF study: more unusual than every one of the validation inputs: "
        "outside the training distribution",
        "LVEF clip 1: more unusual than 99.7 % of the validation inputs: "
        "outside the training distribution",
        "LVEF clip 2: more unusual than 41.0 % of the validation inputs: "
        "inside the training distribution",
    ]
    for number in _items(report, codes.LVEF.value, "NUM"):
        assert len(number.ContentSequence) == 1  # viewers draw no number with more


def _read_back(report: Dataset) -> Dataset:
    validate_result(report)
    return dcmread(BytesIO(_bytes(report)))


def test_what_is_missing_is_a_text_report_of_finding_instance_and_reason() -> None:
    source, other = header(), header(SAMPLES / "ecg12_mortara_1000hz.dcm")
    report = _read_back(reasons_report(source, other))
    assert report.ConceptNameCodeSequence[0].CodeValue == "18748-4"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "2000"
    assert report.SeriesDescription == "Not analysed, RESEARCH USE ONLY"
    first, second, statement = _items(report, "121071")
    assert first.TextValue == (
        "Left ventricular ejection fraction: not analysed: no complete heart beat in the clip "
        f"(US, series {source.SeriesNumber}, instance {source.InstanceNumber})."
    )
    image, waveform = (item.ContentSequence[0] for item in (first, second))
    assert (image.ValueType, waveform.ValueType) == ("IMAGE", "WAVEFORM")
    named = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in (image, waveform)]
    assert named == [source.SOPInstanceUID, other.SOPInstanceUID]
    assert "RESEARCH USE ONLY" in statement.TextValue
    assert not _items(report, "125007")


def test_when_nothing_is_missing_any_more_the_report_says_so() -> None:
    source = header()
    report = _read_back(build_reasons_report([], source, [source], report_context()))
    assert "Every finding that applies" in _items(report, "121071")[0].TextValue


def test_an_instance_that_can_not_be_read_is_named_by_what_the_ledger_knows() -> None:
    whole, broken = header(), Dataset()
    broken.SOPClassUID, broken.SOPInstanceUID = whole.SOPClassUID, derive_uid("broken")
    broken.SeriesInstanceUID, broken.Modality = derive_uid("a series"), "US"
    broken.StudyInstanceUID = whole.StudyInstanceUID
    missing = NotAnalysed("All findings", reference(broken), "the pixel data can't be decoded")
    report = _read_back(build_reasons_report([missing], whole, [broken], report_context()))
    assert report.PatientID == whole.PatientID
    assert _items(report, "121071")[0].TextValue == (
        "All findings: not analysed: the pixel data can't be decoded (US)."
    )
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (listed,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert listed.ReferencedSOPInstanceUID == broken.SOPInstanceUID


def test_flags_and_series_say_that_it_is_research() -> None:
    source = header()
    report = _built(view_result(source), [source])
    assert report.ContentQualification == "RESEARCH"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert "RESEARCH USE ONLY" in report.SeriesDescription
    assert STATEMENT in report.ContributingEquipmentSequence[0].ContributionDescription


def test_the_private_scheme_is_identified_where_it_is_used() -> None:
    source = header()
    (scheme,) = _built(view_result(source), [source]).CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert "CodingSchemeIdentificationSequence" not in _built(lvef_result(source), [source])


def test_the_same_arguments_give_the_same_bytes_in_any_order_of_the_sources() -> None:
    names = ("echo_a4c_sonosite_30f_small", "echo_apical_agilent_10f", "ecg12_mortara_1000hz")
    sources = [header(SAMPLES / f"{name}.dcm") for name in names]
    result = lvef_result(sources[0])
    first = _bytes(build_report(result, sources, report_context()))
    random.Random(1).shuffle(sources)
    assert _bytes(build_report(result, sources, report_context())) == first


def test_evidence_lists_sources_and_captures_by_study() -> None:
    source = header()
    other = header(SAMPLES / "echo_apical_agilent_10f.dcm")
    capture = ImageReference(
        "1.2.840.10008.5.1.4.1.1.7.4", derive_uid("c"), derive_uid("s"), source.StudyInstanceUID
    )
    context = replace(report_context(), captures=(capture,))
    report = _built(lvef_result(source), [source, other], context)
    (current,) = report.CurrentRequestedProcedureEvidenceSequence
    listed = {
        instance.ReferencedSOPInstanceUID
        for series in current.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert listed == {source.SOPInstanceUID, capture.sop_instance_uid}
    (pertinent,) = report.PertinentOtherEvidenceSequence
    assert pertinent.StudyInstanceUID == other.StudyInstanceUID


def test_a_later_revision_names_its_predecessor() -> None:
    source = header()
    before = ImageReference(
        "1.2.840.10008.5.1.4.1.1.88.34",
        derive_uid("report 1"),
        derive_uid("series"),
        source.StudyInstanceUID,
    )
    context = replace(report_context(), revision=2, predecessor=before)
    report = _built(lvef_result(source), [source], context)
    assert report.InstanceNumber == 2
    (study,) = report.PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == before.sop_instance_uid


def test_comprehensive_sr_differs_in_the_sop_class_only() -> None:
    source = header()
    usual = build_report(lvef_result(source), [source], report_context())
    context = replace(report_context(), sr_sop_class=ComprehensiveSRStorage)
    other = _built(lvef_result(source), [source], context)
    assert other.SOPClassUID == ComprehensiveSRStorage
    assert other.ContentSequence == dcmread(BytesIO(_bytes(usual))).ContentSequence


@pytest.mark.parametrize(
    "path",
    [
        SAMPLES / "echo_tee_colour_still_px.dcm",  # retired SOP class, few Type 2 attributes
        SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm",
        SAMPLES / "cxr_pa_philips_j2k.dcm",
        ROOT / "tests/data/dx_animal_thorax.dcm",
    ],
)
def test_stills_and_radiographs_are_sources_too(path: str) -> None:
    source = header(path)  # type: ignore[arg-type]
    report = _built(view_result(source), [source])
    image = _items(report, "122157")[0].ContentSequence[0].ContentSequence[0]
    assert "ReferencedFrameNumber" not in image.ReferencedSOPSequence[0]


def test_tracking_uids_differ_between_groups_and_stay_over_revisions() -> None:
    source = header()
    uids = [i.UID for i in _items(_built(lvef_result(source), [source]), "112040")]
    again = _built(lvef_result(source), [source], report_context("revision 2"))
    assert len(set(uids)) == 3
    assert [i.UID for i in _items(again, "112040")] == uids


def _with_first_group(result: StudyResult, **changes: object) -> StudyResult:
    first: Group = replace(result.groups[0], **changes)  # type: ignore[arg-type]
    return replace(result, groups=(first, *result.groups[1:]))


def test_refuses_a_frame_that_the_source_lacks() -> None:
    source = header()
    result = lvef_result(source)
    region = replace(result.groups[0].region, image=reference(source, 31))
    with pytest.raises(InvalidResultError, match="ReferencedFrameNumber"):
        build_report(_with_first_group(result, region=region), [source], report_context())


def test_refuses_a_source_that_was_not_given_and_a_result_without_content() -> None:
    source = header()
    with pytest.raises(InvalidResultError, match="not among the sources"):
        build_report(lvef_result(source), [], report_context())
    with pytest.raises(InvalidResultError, match="no group"):
        build_report(replace(lvef_result(source), groups=()), [source], report_context())
    missing = [NotAnalysed("LVEF", reference(source), "a reason")]
    with pytest.raises(InvalidResultError, match="not among the sources"):
        build_reasons_report(missing, source, [], report_context())


def test_every_network_of_a_finding_is_named() -> None:
    source = header()
    algorithm = replace(ALGORITHM, others=(Weights("valve_detector", "1.0", "cd" * 32),))
    alone = _built(lvef_result(source), [source])
    report = _built(replace(lvef_result(source), algorithm=algorithm), [source])
    parameters = [item.TextValue for item in _items(_items(report, "125007")[0], "111002")]
    assert parameters[1] == f"with valve_detector 1.0 weights sha256 {'cd' * 32}"
    # other weights behind a number make it another one to follow
    uids = [{item.UID for item in _items(each, "112040")} for each in (alone, report)]
    assert not uids[0] & uids[1]


@pytest.mark.parametrize(
    ("comment", "shown"),
    [
        ("LVEF 56 %, A4C", "LVEF 56 %, A4C - RESEARCH USE ONLY"),
        ("LVEF 56 %, RESEARCH USE ONLY", "LVEF 56 % - RESEARCH USE ONLY"),
        ("", "RESEARCH USE ONLY"),
        (
            "LVEF 56 % (mean of three clips, 51 to 60)",
            "LVEF 56 % (mean of three - RESEARCH USE ONLY",
        ),
        ("x" * 60, "x" * 30 + " - RESEARCH USE ONLY"),
    ],
)
def test_comments_fit_and_say_research(comment: str, shown: str) -> None:
    assert shown_comment(comment) == shown
    assert len(shown) <= 50
