"""The ultrasound sector alone, brought to the detector's square.

The paper finds lines and circles with OpenCV, makes a mask of them and crops. Here the fan that
:func:`models.preprocess.fit_sector` fits (two edges and two arcs, with OpenCV) is the mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.inputs import Box
from models.preprocess import Sector
from models.yolo.letterbox import Letterbox, letterbox

SIZE = 640


@dataclass(frozen=True, slots=True)
class SectorCrop:
    """How the sector of one instance lies in the square.

    Attributes
    ----------
    box
        The sector's box in source pixels.
    placing
        Of that box in the square.
    """

    box: Box
    placing: Letterbox

    def to_source(self, boxes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Boxes x0, y0, x1, y1 ``(..., 4)`` in pixels of the square to source pixels."""
        return self.placing.to_image(boxes) + self._corner

    def to_square(self, boxes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Invert :meth:`to_source`."""
        return self.placing.to_square(np.asarray(boxes, np.float64) - self._corner)

    @property
    def _corner(self) -> npt.NDArray[np.float64]:
        return np.array([self.box.x0, self.box.y0] * 2, np.float64)


def crop_sector(
    frames: npt.NDArray[np.uint8], sector: Sector, size: int = SIZE
) -> tuple[npt.NDArray[np.uint8], SectorCrop]:
    """Cut the sector out, black outside its mask, and letterbox it.

    Parameters
    ----------
    frames
        Grey, ``(frames, rows, columns)``.
    sector
        From :func:`models.preprocess.fit_sector`.
    size
        Side of the square.

    Returns
    -------
    uint8 ``(frames, size, size)``, grey 114 beside the crop, and how to map boxes back.
    """
    box = sector.box
    placing = letterbox(box.height, box.width, size)
    kept = sector.mask[box.y0 : box.y1, box.x0 : box.x1]
    out = np.empty((len(frames), size, size), np.uint8)
    for target, frame in zip(out, frames, strict=True):
        cut = frame[box.y0 : box.y1, box.x0 : box.x1]
        target[...] = placing.apply(np.where(kept, cut, 0).astype(np.uint8))
    return out, SectorCrop(box, placing)
