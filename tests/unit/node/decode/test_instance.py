"""Facts of instances: what the header says, without its patient."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.decode.instance import read_facts, read_header
from node.errors import BadObjectError
from node.facts import InstanceFacts
from tests import build_instances as build


def _facts(ds: Dataset, tmp_path: Path, syntax: str = build.EXPLICIT) -> InstanceFacts:
    path = build.save(ds, tmp_path / "instance.dcm", syntax)
    with path.open("rb") as stream:
        return read_facts(*read_header(stream, path))[0]


def test_an_echo(tmp_path: Path) -> None:
    ds = build.echo(
        build.grey_frames(3),
        Manufacturer="Maker",
        ManufacturerModelName="One",
        SeriesNumber=7,
        SeriesDescription="Apical 4 chamber",
        LossyImageCompression="01",
        LossyImageCompressionRatio=["10", "5"],
        LossyImageCompressionMethod=["ISO_10918_1", "ISO_15444_1"],
    )
    facts = _facts(ds, tmp_path)
    assert (facts.frames, facts.rows, facts.columns, facts.samples) == (3, 40, 48, 1)
    assert facts.sop_class_name == "Ultrasound Multi-frame Image Storage"
    assert (facts.kind, facts.obstacle, facts.exam) == ("clip", "", "TTE")
    assert (facts.manufacturer, facts.series_number, facts.view_hint) == ("Maker One", 7, "A4C")
    assert facts.lossy
    assert facts.lossy_ratio == (10.0, 5.0)
    assert facts.lossy_method == ("ISO_10918_1", "ISO_15444_1")
    assert "SECRET" not in str(asdict(facts)).upper()


@pytest.mark.parametrize(
    ("value4", "obstacle"),
    [
        ("0001", ""),
        ("0011", "colour Doppler still"),
        ("0101", "colour Doppler still"),
        ("0008", "spectral Doppler"),
        ("0005", "spectral Doppler"),
        ("0003", "M-mode without its region"),
        ("0040", "3D rendering"),
        ("VOLUME", ""),
    ],
)
def test_image_type(value4: str, obstacle: str, tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(), ImageType=["ORIGINAL", "PRIMARY", "TTE", value4])
    assert _facts(ds, tmp_path).obstacle == obstacle


@pytest.mark.parametrize(
    ("spatial_format", "data_type", "obstacle"),
    [
        (1, 2, "colour Doppler clip"),
        (3, 3, "spectral Doppler"),
        (3, 4, "spectral Doppler"),
        (4, 10, ""),
        (2, 2, "colour M-mode"),
        (2, 1, "multi-frame M-mode"),
    ],
)
def test_regions_decide(spatial_format: int, data_type: int, obstacle: str, tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(2))
    ds.SequenceOfUltrasoundRegions = Sequence(
        [build.region((0, 0, 47, 19)), build.region((0, 20, 47, 39), spatial_format, data_type)]
    )
    assert _facts(ds, tmp_path).obstacle == obstacle


@pytest.mark.parametrize(
    ("sop_class", "obstacle"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.33", "structured report"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "key object selection"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "encapsulated PDF"),
        ("1.2.840.10008.5.1.4.1.1.7.4", "secondary capture"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "presentation state"),
        ("1.2.840.10008.5.1.4.1.1.6.2", "enhanced ultrasound volume"),
        ("1.2.840.10008.5.1.4.1.1.2", "not a cardiac input: CT Image Storage"),
        ("1.3.46.670589.2.5.1.1", "not a cardiac input: private SOP class"),
        (build.DX_RAW, "for-processing radiograph"),
        (build.ECG, "ECG without waveforms"),
        (build.DX, ""),
        (build.CR, ""),
    ],
)
def test_sop_classes(sop_class: str, obstacle: str, tmp_path: Path) -> None:
    ds = build.put_pixels(build.header(sop_class, "OT"), build.grey_frames())
    ds.SharedFunctionalGroupsSequence = Sequence([Dataset()])  # which enhanced classes must have
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _facts(ds, tmp_path).obstacle == obstacle


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "for-processing radiograph"),
        ({"NumberOfFrames": 4}, "multi-frame radiograph"),
        ({"SamplesPerPixel": 3}, "colour radiograph"),
    ],
)
def test_radiographs(change: dict[str, Any], obstacle: str, tmp_path: Path) -> None:
    ds = build.put_pixels(build.header(build.DX, "DX"), build.grey_frames())
    for keyword, value in change.items():
        setattr(ds, keyword, value)
    assert _facts(ds, tmp_path).obstacle == obstacle


def test_video_and_missing_pixels(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(2), build.BASELINE)
    assert _facts(ds, tmp_path, "1.2.840.10008.1.2.4.102").obstacle == "video transfer syntax"
    del ds.PixelData
    assert _facts(ds, tmp_path).obstacle == "image without pixel data"


def test_deflated_is_not_inflated(tmp_path: Path) -> None:
    path = build.save(build.echo(build.grey_frames()), tmp_path / "a.dcm", "1.2.840.10008.1.2.1.99")
    data = path.read_bytes()
    path.write_bytes(data[:-20] + b"\xff" * 20)  # inflating would fail
    with path.open("rb") as stream:
        facts, _ = read_facts(*read_header(stream, path))
    assert facts.obstacle == "deflated transfer syntax"


def test_no_sop_class(tmp_path: Path) -> None:
    with pytest.raises(BadObjectError, match="SOP class"):
        read_facts(Dataset(), build.EXPLICIT, None)
