"""File heads: pydicom reads ours, we read pydicom's."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from node.arrival.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.arrival.part10 import encode_head, read_head
from node.errors import BadObjectError
from tests.dicom_wire import CT_IMAGE, EXPLICIT_LE, IMPLICIT_LE, dataset

ROOT = Path(__file__).resolve().parents[4]


def test_pydicom_reads_what_is_written() -> None:
    head = encode_head(CT_IMAGE, "1.2.3", IMPLICIT_LE)
    ds = pydicom.dcmread(BytesIO(head + dataset(CT_IMAGE, "1.2.3")))
    assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == CT_IMAGE
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == "1.2.3"
    assert ds.file_meta.TransferSyntaxUID == IMPLICIT_LE
    assert ds.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert ds.file_meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert ds.file_meta.FileMetaInformationGroupLength == len(head) - 128 - 4 - 12
    assert read_head(head).dataset_at == len(head)


def test_it_reads_what_others_write() -> None:
    for path in sorted(ROOT.glob("sample_dicom/*.dcm")):
        meta = pydicom.filereader.read_file_meta_info(path)
        head = read_head(path.read_bytes())
        assert head.sop_instance_uid == meta.MediaStorageSOPInstanceUID
        assert head.transfer_syntax_uid == meta.TransferSyntaxUID


@pytest.mark.parametrize("cut", [0, 131, 140, 160, 200, 250])
def test_a_damaged_head_is_refused(cut: int) -> None:
    with pytest.raises(BadObjectError):
        read_head(encode_head(CT_IMAGE, "1.2.3", EXPLICIT_LE)[:cut])


def test_a_head_with_an_absurd_length_is_refused() -> None:
    head = bytearray(encode_head(CT_IMAGE, "1.2.3", EXPLICIT_LE))
    head[132 + 12 + 8 : 132 + 12 + 12] = b"\xf0\xff\xff\xff"
    with pytest.raises(BadObjectError, match="cut off"):
        read_head(bytes(head))
