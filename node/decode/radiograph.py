"""CR and DX instances to a Radiograph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from models.inputs import Radiograph
from node.decode.attributes import items, number
from node.decode.layout import PixelLayout
from node.decode.pixels import PixelElement, stored_frames
from node.decode.scratch import Scratch
from node.errors import BadObjectError
from node.facts import InstanceFacts


def decode_radiograph(
    ds: Dataset,
    element: PixelElement,
    layout: PixelLayout,
    facts: InstanceFacts,
    scratch: Scratch,
) -> Radiograph:
    """Decode a radiograph without an obstacle.

    The modality LUT or rescale is applied, the range that the stored bits can take becomes 0 to 1,
    and MONOCHROME1 is turned over. The VOI LUT is not applied: it is the reader's choice.

    Parameters
    ----------
    ds, element, layout, facts
        Of the same instance.
    scratch
        Where the pixels go.

    Raises
    ------
    BadObjectError
        The pixels contradict the header, or all stored values mean the same.
    """
    if not layout.photometric.startswith("MONOCHROME"):
        raise BadObjectError("a radiograph that is not monochrome")
    stored = next(stored_frames(ds, element, layout)).samples
    lowest = -(1 << (layout.bits_stored - 1)) if layout.signed else 0
    every_value = np.arange(lowest, lowest + (1 << layout.bits_stored), dtype=np.int32)
    meaning = _modality(ds, every_value)
    low, high = float(meaning.min()), float(meaning.max())
    if not np.isfinite(meaning).all() or low >= high:
        raise BadObjectError("the modality LUT gives all stored values the same meaning")
    table = ((meaning - low) / (high - low)).astype(np.float32)
    if layout.photometric == "MONOCHROME1":
        table = np.float32(1.0) - table
    pixels = scratch.allocate((layout.rows, layout.columns), np.float32)
    np.take(table, stored.astype(np.int32) - lowest, out=pixels, mode="clip")
    return Radiograph(
        pixels=pixels,
        pixel_spacing_mm=facts.pixel_spacing_mm,
        view_position=facts.view_position,
        body_part=facts.body_part,
    )


def _modality(ds: Dataset, values: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    if items(ds, "ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(values, ds), np.float64)
    slope = number(ds, "RescaleSlope")
    intercept = number(ds, "RescaleIntercept")
    # A slope of 0 is a known mistake for "no rescale".
    return values.astype(np.float64) * (slope or 1.0) + (intercept or 0.0)
