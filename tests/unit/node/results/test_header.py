"""What every result copies from its source."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from node.errors import InvalidResultError
from node.results.header import (
    add_file_meta,
    add_times,
    copy_patient_and_study,
    plain_text,
    series_description,
)
from node.results.uids import derive_uid


def _source(character_set: str | list[str] | None, name: str) -> Dataset:
    """A source as it comes from disk: names are bytes until somebody reads them."""
    ds = Dataset()
    if character_set is not None:
        ds.SpecificCharacterSet = character_set
    ds.StudyInstanceUID = derive_uid("study")
    ds.PatientName = name
    ds.StudyDescription = "Echo"
    return _written_and_read(ds)


def _written_and_read(ds: Dataset) -> Dataset:
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = derive_uid("instance")
    add_file_meta(ds, ExplicitVRLittleEndian)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (None, "Doe^Jane"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", "王^小東"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_names_survive_in_their_character_set(
    character_set: str | list[str] | None, name: str
) -> None:
    source = _source(character_set, name)
    copied = _written_and_read(copy_patient_and_study(source))
    assert str(copied.PatientName) == name
    assert copied.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")


def test_a_misspelt_character_set_is_corrected() -> None:
    source = _source("ISO_IR 100", "Müller")
    source.add(source["SpecificCharacterSet"])
    source["SpecificCharacterSet"]._value = "ISO-IR 100"
    copied = copy_patient_and_study(source)
    assert copied.SpecificCharacterSet == "ISO_IR 100"
    assert str(_written_and_read(copied).PatientName) == "Müller"


def test_an_unknown_character_set_becomes_utf_8() -> None:
    source = _source("ISO_IR 100", "Müller")
    source["SpecificCharacterSet"]._value = "KLINGON"
    copied = copy_patient_and_study(source)
    assert str(_written_and_read(copied).PatientName) == "Müller"
    assert copied.SpecificCharacterSet == "ISO_IR 192"


def test_type_2_attributes_are_filled_and_invented_values_are_not() -> None:
    source = Dataset()
    source.StudyInstanceUID = derive_uid("study")
    source.PatientSex = "X"
    copied = copy_patient_and_study(source)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyID", "AccessionNumber"):
        assert copied[keyword].is_empty
    assert copied["PatientSex"].is_empty
    assert "PatientAge" not in copied


def test_the_source_is_not_changed() -> None:
    source = _source("ISO_IR 100", "Müller")
    before = source.to_json()
    copy_patient_and_study(source).PatientName = "Other"
    assert source.to_json() == before


def test_a_source_without_a_study_is_refused() -> None:
    with pytest.raises(InvalidResultError, match="StudyInstanceUID"):
        copy_patient_and_study(Dataset())


@pytest.mark.parametrize(
    ("offset", "expected"), [(None, "120000.000000"), ("+0200", "140000.000000")]
)
def test_times_are_in_the_time_zone_that_the_object_states(
    offset: str | None, expected: str
) -> None:
    ds = Dataset()
    if offset is not None:
        ds.TimezoneOffsetFromUTC = offset
    add_times(ds, datetime(2026, 1, 2, 12, tzinfo=UTC))
    assert ds.ContentTime == expected


def test_text_becomes_ascii() -> None:
    assert plain_text("LVEF 56 % · A4C – ±2 王") == "LVEF 56 % - A4C - +/-2 ?"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Echo view", "Echo view, RESEARCH USE ONLY, trained on simulated data"),
        (
            "Left ventricular ejection fraction",
            "Left ventricular ejection fraction, RESEARCH USE ONLY",
        ),
        ("x" * 80, "x" * 45 + ", RESEARCH USE ONLY"),
    ],
)
def test_series_descriptions_fit(title: str, expected: str) -> None:
    described = series_description(title, "trained on simulated data, not for clinical use")
    assert described == expected
    assert len(described) <= 64
