"""What every result shares: patient and study copied from its source, and this node's equipment."""

from __future__ import annotations

import copy
import re
from datetime import datetime, timedelta, timezone

from pydicom import charset
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from node.errors import InvalidResultError
from node.results.codes import PROCESSING_EQUIPMENT
from node.results.primitives import Code
from node.results.uids import derive_uid

MANUFACTURER = "cardionode"
MODEL_NAME = "cardionode"
RESEARCH_USE_ONLY = "RESEARCH USE ONLY"
IMPLEMENTATION_CLASS_UID = UID(derive_uid("implementation class", MANUFACTURER))

LONG_STRING_LENGTH = 64  # LO, PS3.5 section 6.2

# Patient, General Study and Patient Study modules (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2)
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_COPIED_WHEN_FILLED = (
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "OtherPatientIDsSequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
    "IssuerOfAccessionNumberSequence",
    "TimezoneOffsetFromUTC",
)
# Required together, even when empty, for patients that are not human
_COPIED_FOR_ANIMALS = (
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientSexNeutered",
)


def copy_patient_and_study(source: Dataset) -> Dataset:
    """Start a result: the patient and study of ``source``, with every Type 2 attribute there.

    The character set is the source's, so that a receiver that could read the source can read the
    result; one that the standard doesn't define becomes UTF-8.

    Parameters
    ----------
    source
        Header of an instance of the study.

    Raises
    ------
    InvalidResultError
        When the source has no StudyInstanceUID.
    """
    if not source.get("StudyInstanceUID"):
        raise InvalidResultError("StudyInstanceUID: the source has none")
    ds = Dataset()
    character_set = _usable_character_set(source)
    if character_set:
        ds.SpecificCharacterSet = character_set
    ds.StudyInstanceUID = source.StudyInstanceUID
    for keyword in _TYPE_2:
        if source.get(keyword):
            ds.add(copy.deepcopy(source[keyword]))
        else:
            setattr(ds, keyword, None)
    if ds.PatientSex not in ("M", "F", "O"):  # enumerated values, PS3.3 C.7.1.1
        ds.PatientSex = None
    for keyword in _COPIED_WHEN_FILLED:
        if source.get(keyword):
            ds.add(copy.deepcopy(source[keyword]))
    for keyword in _COPIED_FOR_ANIMALS:
        if keyword in source:
            ds.add(copy.deepcopy(source[keyword]))
    return ds


def add_equipment(ds: Dataset, node_version: str, device_uid: str) -> None:
    """Write the General and Enhanced General Equipment modules (PS3.3 C.7.5.1, C.7.5.2)."""
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL_NAME
    ds.DeviceSerialNumber = derive_uid("device serial number", device_uid)
    ds.SoftwareVersions = node_version[:LONG_STRING_LENGTH]
    ds.DeviceUID = device_uid


def add_contribution(
    ds: Dataset, node_version: str, device_uid: str, created_at: datetime, description: str
) -> None:
    """Name this node as processing equipment (ContributingEquipmentSequence, PS3.3 C.12.1).

    Parameters
    ----------
    description
        What was done and with which network; cut at 1024 characters.
    """
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(PROCESSING_EQUIPMENT)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = MODEL_NAME
    item.SoftwareVersions = node_version[:LONG_STRING_LENGTH]
    item.ContributionDateTime = created_at.strftime("%Y%m%d%H%M%S.%f")
    item.ContributionDescription = plain_text(description)[:1024]
    ds.ContributingEquipmentSequence = [item]


def add_times(ds: Dataset, created_at: datetime) -> datetime:
    """Write the creation, content and series times, in the time zone that the object states.

    Parameters
    ----------
    created_at
        From the ledger, never the clock: the same result must have the same bytes.

    Returns
    -------
    The time as it was written.
    """
    offset = re.fullmatch(r"([+-])(\d\d)(\d\d)", str(ds.get("TimezoneOffsetFromUTC", "")))
    if offset and created_at.tzinfo is not None:
        sign = -1 if offset[1] == "-" else 1
        shift = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        created_at = created_at.astimezone(timezone(sign * shift))
    date, time = created_at.strftime("%Y%m%d"), created_at.strftime("%H%M%S.%f")
    ds.InstanceCreationDate, ds.InstanceCreationTime = date, time
    ds.ContentDate, ds.ContentTime = date, time
    ds.SeriesDate, ds.SeriesTime = date, time
    return created_at


def add_file_meta(ds: Dataset, transfer_syntax_uid: str) -> None:
    """Write the file meta information (PS3.10 section 7.1) of this node."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = MANUFACTURER.upper()
    ds.file_meta = meta
    ds.preamble = b"\x00" * 128


def code_item(code: Code) -> Dataset:
    """Write a code as an item of a code sequence (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def plain_text(text: str) -> str:
    """Reduce text of ours to ASCII, which every character set of a source contains."""
    for typographic, plain in (("·", "-"), ("–", "-"), ("—", "-"), ("±", "+/-"), ("’", "'")):
        text = text.replace(typographic, plain)
    return text.encode("ascii", "replace").decode("ascii")


def series_description(title: str, statement: str) -> str:
    """Describe a series in 64 characters: the finding, that it is research, and why.

    Parameters
    ----------
    statement
        The network's statement of use; its first clause is added when there is room.
    """
    short = f"{plain_text(title)}, {RESEARCH_USE_ONLY}"
    full = f"{short}, {plain_text(statement).split(',')[0]}" if statement else short
    if len(full) <= LONG_STRING_LENGTH:
        return full
    room = LONG_STRING_LENGTH - len(f", {RESEARCH_USE_ONLY}")
    return f"{plain_text(title)[:room]}, {RESEARCH_USE_ONLY}"


def _usable_character_set(source: Dataset) -> str | list[str]:
    declared = source.get("SpecificCharacterSet") or ""
    values = list(declared) if isinstance(declared, MultiValue) else [str(declared)]
    # seen in the wild: "ISO-IR 100", "ISO 2022-IR 87"
    values = [re.sub(r"^(ISO|ISO 2022)[-_ ]IR[-_ ]", _corrected_prefix, v) for v in values]
    if any(value not in charset.python_encoding for value in values):
        return "ISO_IR 192"
    return values if len(values) > 1 else values[0]


def _corrected_prefix(match: re.Match[str]) -> str:
    return "ISO_IR " if match[1] == "ISO" else "ISO 2022 IR "
