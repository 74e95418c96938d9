"""The valve's crop that the calcification classifier sees."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

SIZE = 224


def crop_valve(
    frame: npt.NDArray[np.uint8], box: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.uint8]:
    """Cut a box out, subtract the crop's minimum (the paper's noise reduction), resize.

    Parameters
    ----------
    frame
        Grey, ``(rows, columns)``.
    box
        x0, y0, x1, y1 in pixels, ``(4,)``; what lies outside the frame is left out.

    Returns
    -------
    uint8 ``(224, 224)``; a box that is not square is stretched.

    Raises
    ------
    ValueError
        Less than a pixel of the box lies in the frame.
    """
    rows, columns = frame.shape
    x0, y0 = (max(round(float(v)), 0) for v in box[:2])
    x1, y1 = min(round(float(box[2])), columns), min(round(float(box[3])), rows)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"the box {[round(float(v), 1) for v in box]} is outside the frame")
    cut = frame[y0:y1, x0:x1]
    clean = cut - cut.min()
    how = cv2.INTER_AREA if min(clean.shape) > SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(clean, (SIZE, SIZE), interpolation=how), np.uint8)
