"""Makes what is sent: echo cines, chest X-rays and ECGs of the sizes that machines send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    TwelveLeadECGWaveformStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from tests.benchmarks.receive.waveforms import waveform_group

ROWS, COLUMNS, FRAMES = 480, 640, 60
_XRAY_ROWS = 1024
_BIG_ROWS = 1024


@dataclass(frozen=True)
class Sent:
    """An instance on disk, and where its pixels or samples lie in the file."""

    path: str
    sop_instance_uid: str
    payload_at: int
    payload_bytes: int

    def is_in(self, kept: Path) -> bool:
        """Whether a receiver's file has all pixels or samples, whatever it made of the rest."""
        with Path(self.path).open("rb") as file:
            file.seek(self.payload_at)
            payload = file.read(self.payload_bytes)
        return payload in kept.read_bytes()


def make(folder: Path, counts: dict[str, int]) -> Iterator[tuple[str, Sent]]:
    """Make the corpora; those of the same size that are there already are taken as they are.

    Parameters
    ----------
    counts
        How many instances of which corpus.

    Yields
    ------
    The corpus's name with each instance, as soon as it is made.
    """
    for name, count in counts.items():
        own = folder / f"{name}-{count}"
        manifest = own / "manifest.json"
        if manifest.exists():
            listed = json.loads(manifest.read_text(encoding="utf-8"))
            yield from ((name, Sent(**each)) for each in listed)
            continue
        own.mkdir(parents=True, exist_ok=True)
        made = []
        for number in range(count):
            made.append(_write(own / f"{number:04}.dcm", *_MAKERS[name](number)))
            yield name, made[-1]
        manifest.write_text(json.dumps([asdict(each) for each in made]), encoding="utf-8")


def make_warm_up(folder: Path) -> Sent:
    """One more ECG, which shows that a receiver is ready."""
    return _write(folder / "warm_up.dcm", *_ecg(1_000_000))


def make_big(folder: Path, size_bytes: int) -> Sent:
    """A multi-frame instance whose pixels are a hole in the file: it costs no disk.

    Parameters
    ----------
    size_bytes
        Of its pixels; a multiple of one MiB.
    """
    ds = _header(2_000_000, UltrasoundMultiFrameImageStorage, ExplicitVRLittleEndian, "US")
    _image(ds, _BIG_ROWS, _BIG_ROWS, 8)
    ds.NumberOfFrames = size_bytes // _BIG_ROWS**2
    ds.FrameTime, ds.FrameIncrementPointer = "33.3", 0x00181063
    ds.PixelData = b""
    path = folder / f"big-{size_bytes}.dcm"
    ds.save_as(path, enforce_file_format=True)
    with path.open("r+b") as file:
        file.seek(-4, 2)  # the length, the last that is there of an element without a value
        file.write(size_bytes.to_bytes(4, "little"))
        at = file.tell()
        file.truncate(at + size_bytes)
    return Sent(str(path), str(ds.SOPInstanceUID), at, size_bytes)


def _write(path: Path, ds: FileDataset, payload: bytes) -> Sent:
    ds.save_as(path, enforce_file_format=True)
    at = path.read_bytes().index(payload)
    return Sent(str(path), str(ds.SOPInstanceUID), at, len(payload))


def _header(number: int, sop_class: UID, transfer_syntax: UID, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = meta.MediaStorageSOPClassUID = sop_class
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = "20250117"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "093000"
    ds.PatientName, ds.PatientID = f"Bench^{number:04}", f"BENCH{number:06}"
    ds.PatientBirthDate, ds.PatientSex = "19600101", "O"
    ds.AccessionNumber, ds.StudyID = f"A{number:07}", str(number)
    ds.Modality, ds.Manufacturer = modality, "Bench"
    ds.ReferringPhysicianName, ds.StudyDescription = "Ref^Doc", f"Benchmark {modality}"
    ds.SeriesNumber, ds.InstanceNumber = 1, number + 1
    return ds


def _image(ds: Dataset, rows: int, columns: int, bits: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.PixelRepresentation = rows, columns, 0
    ds.BitsAllocated = 16 if bits > 8 else 8
    ds.BitsStored, ds.HighBit = bits, bits - 1


def _echo(number: int) -> tuple[FileDataset, bytes]:
    """A cine of 60 JPEG frames, 3.2 MB: speckle in a sector (PS3.3 C.8.5)."""
    ds = _header(number, UltrasoundMultiFrameImageStorage, JPEGBaseline8Bit, "US")
    _image(ds, ROWS, COLUMNS, 8)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "YBR_FULL_422"
    ds.PlanarConfiguration = 0
    ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = FRAMES, "33.333", 0x00181063
    ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 12
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    rng = np.random.default_rng(number)
    speckle = _smooth(rng.rayleigh(30.0, (ROWS + FRAMES, COLUMNS)))
    sector = _sector()
    frames = []
    for at in range(FRAMES):
        grey = np.clip(speckle[at : at + ROWS] * sector, 0, 255).astype(np.uint8)
        colour = np.repeat(grey[..., None], 3, axis=2)
        frames.append(
            simplejpeg.encode_jpeg(colour, quality=72, colorspace="RGB", colorsubsampling="422")
        )
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    return ds, bytes(ds.PixelData)


def _smooth(field: NDArray[np.float64]) -> NDArray[np.float32]:
    wide = field + np.roll(field, 1, 0) + np.roll(field, 1, 1) + np.roll(field, (1, 1), (0, 1))
    return (wide / 2.0).astype(np.float32)


def _sector() -> NDArray[np.float32]:
    """Where the probe sees: 80 degrees from the top; shape (rows, columns)."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    across = np.arctan2(columns - COLUMNS / 2, rows + 10.0)
    return (np.abs(across) < np.deg2rad(40.0)).astype(np.float32)


def _xray(number: int) -> tuple[FileDataset, bytes]:
    """An uncompressed film of 1024 rows and columns of 12 bits, 2.1 MB (PS3.3 C.8.1)."""
    ds = _header(number, ComputedRadiographyImageStorage, ExplicitVRLittleEndian, "CR")
    _image(ds, _XRAY_ROWS, _XRAY_ROWS, 12)
    ds.BodyPartExamined, ds.ViewPosition, ds.KVP = "CHEST", "PA", 120
    ds.ImagerPixelSpacing, ds.PatientOrientation = [0.4, 0.4], ["L", "F"]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    rng = np.random.default_rng(number)
    across = np.linspace(-1.0, 1.0, _XRAY_ROWS)
    lungs = np.exp(-(((np.abs(across) - 0.42) / 0.28) ** 2))[None] * np.cos(across)[:, None]
    film = 2600.0 - 1400.0 * lungs + rng.normal(0.0, 18.0, (_XRAY_ROWS, _XRAY_ROWS))
    ds.PixelData = np.clip(film, 0, 4095).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds, bytes(ds.PixelData)


def _ecg(number: int) -> tuple[FileDataset, bytes]:
    """Twelve leads of ten seconds at 500 Hz, 0.12 MB (PS3.3 C.10.9)."""
    ds = _header(number, TwelveLeadECGWaveformStorage, ExplicitVRLittleEndian, "ECG")
    ds.AcquisitionDateTime, ds.AcquisitionContextSequence = "20250117093000", []
    group = waveform_group(np.random.default_rng(number))
    ds.WaveformSequence = [group]
    return ds, bytes(group.WaveformData)


_MAKERS: dict[str, Callable[[int], tuple[FileDataset, bytes]]] = {
    "echo": _echo,
    "xray": _xray,
    "ecg": _ecg,
}
