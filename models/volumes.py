"""Volumes from borders: the disc sum behind the clinical definition of the ejection fraction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def disc_sum_ejection_fraction(borders: npt.NDArray[np.float64]) -> float:
    """The ejection fraction of two borders by single-plane disc summation.

    A disc has a chord's length as its diameter; its height is a twentieth of the long axis through
    the chords' mid-points. Only the ratio of the volumes counts, so any unit of length will do.

    Parameters
    ----------
    borders
        ``(2, 20, 4)``: end-diastole, end-systole; x1, y1, x2, y2 of the chords, apex first.

    Returns
    -------
    1 - ESV / EDV; below 0 when the borders are the wrong way round.
    """
    first, second = borders[..., :2], borders[..., 2:]
    diameter = np.linalg.norm(second - first, axis=-1)
    middle = (first + second) / 2
    steps = np.linalg.norm(np.diff(middle, axis=1), axis=-1).sum(axis=1)
    length = steps * borders.shape[1] / (borders.shape[1] - 1)
    volume = (diameter**2).mean(axis=1) * length
    return float(1.0 - volume[1] / max(float(volume[0]), 1e-12))
