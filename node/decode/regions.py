"""Ultrasound regions and the calibration that follows from them, checked against the image."""

from __future__ import annotations

from pydicom.dataset import Dataset

from models.inputs import Box
from node.decode.attributes import integer, items, number
from node.facts import UltrasoundRegion

_CENTIMETRES, _SECONDS = 3, 4  # PhysicalUnitsXDirection, PS3.3 C.8.5.5.1.15
_MAX_REGIONS = 64
# An echo shows 2 to 40 cm of depth; a scale outside of that was not meant for these pixels.
_PLAUSIBLE_DEPTH_MM = (20.0, 400.0)


def read_regions(ds: Dataset, rows: int, columns: int) -> tuple[UltrasoundRegion, ...]:
    """Read SequenceOfUltrasoundRegions (PS3.3 C.8.5.5).

    Parameters
    ----------
    ds
        The header of an ultrasound instance.
    rows, columns
        Of the image; a region that reaches beyond it is marked as not valid, because the image
        was cropped or rescaled after the region was written.

    Returns
    -------
    The regions in their order; those without a location are left out.
    """
    found = []
    for item in items(ds, "SequenceOfUltrasoundRegions")[:_MAX_REGIONS]:
        corners = [
            integer(item, keyword)
            for keyword in (
                "RegionLocationMinX0",
                "RegionLocationMinY0",
                "RegionLocationMaxX1",
                "RegionLocationMaxY1",
            )
        ]
        if None not in corners:
            x0, y0, x1, y1 = (corner or 0 for corner in corners)
            found.append(_region(item, (x0, y0, x1, y1), rows, columns))
    return tuple(found)


def b_mode_region(regions: tuple[UltrasoundRegion, ...]) -> UltrasoundRegion | None:
    """Return the largest valid B-mode region."""
    candidates = [region for region in regions if region.is_b_mode and region.valid]
    return max(candidates, key=lambda region: region.box.width * region.box.height, default=None)


def ecg_strip(regions: tuple[UltrasoundRegion, ...]) -> Box | None:
    """Return where an ECG trace is drawn in the image, when a valid region says so."""
    return next((region.box for region in regions if region.is_ecg and region.valid), None)


def spacing_of(regions: tuple[UltrasoundRegion, ...]) -> tuple[tuple[float, float] | None, str]:
    """Return the pixel spacing of the B-mode region, and why there is none.

    Parameters
    ----------
    regions
        Of one instance.

    Returns
    -------
    (row, column) spacing in mm and an empty reason, or None and a reason for people. Withheld
    when a B-mode region is not inside the image, has no centimetres, or is implausibly deep.
    """
    declared = [region for region in regions if region.is_b_mode]
    if not declared:
        return None, "no calibration: no B-mode region"
    region = b_mode_region(regions)
    if region is None or len([item for item in declared if item.valid]) < len(declared):
        return None, "calibration withheld: the B-mode region reaches beyond the image"
    if not region.delta_x_mm or not region.delta_y_mm:
        return None, "no calibration: the B-mode region has no centimetre scale"
    depth_mm = region.box.height * region.delta_y_mm
    low, high = _PLAUSIBLE_DEPTH_MM
    if not low <= depth_mm <= high or not 0.5 <= region.delta_x_mm / region.delta_y_mm <= 2.0:
        return None, f"calibration withheld: an image depth of {depth_mm:.0f} mm is not plausible"
    return (region.delta_y_mm, region.delta_x_mm), ""


def _region(
    item: Dataset, corners: tuple[int, int, int, int], rows: int, columns: int
) -> UltrasoundRegion:
    x0, y0, x1, y1 = corners
    valid = 0 <= x0 < x1 <= columns and 0 <= y0 < y1 <= rows
    # The corners are inclusive (PS3.3 C.8.5.5.1.14); some write the image size instead.
    box = Box(x0, y0, min(x1 + 1, columns), min(y1 + 1, rows)) if valid else Box(x0, y0, x1, y1)
    return UltrasoundRegion(
        box=box,
        spatial_format=integer(item, "RegionSpatialFormat") or 0,
        data_type=integer(item, "RegionDataType") or 0,
        delta_x_mm=_delta(item, "X", _CENTIMETRES, 10.0),
        delta_y_mm=_delta(item, "Y", _CENTIMETRES, 10.0),
        delta_x_ms=_delta(item, "X", _SECONDS, 1000.0),
        valid=valid,
    )


def _delta(item: Dataset, axis: str, unit: int, scale: float) -> float | None:
    if integer(item, f"PhysicalUnits{axis}Direction") != unit:
        return None
    delta = number(item, f"PhysicalDelta{axis}")
    # The sign is the direction of the axis, not a size.
    return abs(delta) * scale if delta else None
