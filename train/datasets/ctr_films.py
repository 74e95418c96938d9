"""Reads real chest films with their cardiothoracic ratio: the data set of Dong et al., 2018.

"Unsupervised domain adaptation for automatic estimation of cardiothoracic ratio": PNG films of
512 x 512 in ``png/`` and ``ctr.csv`` with the columns ``id`` (the file's name) and ``ctr``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.radiograph import film_of


@dataclass(frozen=True, slots=True)
class CtrFilm:
    """One film.

    Attributes
    ----------
    name
        Of the file; tells films apart.
    ratio
        Cardiothoracic ratio.
    grey
        uint8 ``(224, 224)``, as the node hands films to the network.
    """

    name: str
    ratio: float
    grey: npt.NDArray[np.uint8]


def read_ctr_films(folder: Path) -> list[CtrFilm]:
    """Read the films whose ratio is known, by name.

    Raises
    ------
    FileNotFoundError
        A file is missing or is no picture.
    """
    with (folder / "ctr.csv").open(newline="", encoding="utf-8") as table:
        ratios = {row["id"]: float(row["ctr"]) for row in csv.DictReader(table)}
    return [CtrFilm(name, ratios[name], _film(folder / "png" / name)) for name in sorted(ratios)]


def _film(path: Path) -> npt.NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise FileNotFoundError(f"no readable picture {path}")
    return film_of(np.asarray(pixels, np.float32) / np.float32(255)).grey
