"""Path lengths are those of the solids: chords, volumes, turned and magnified."""

from __future__ import annotations

import numpy as np
import pytest

from train.phantom.chest_xray.projection import Camera, ellipsoid_path, section_path
from train.phantom.chest_xray.thorax import Ellipsoid

FAR = 1e6  # a source so far away that nothing is magnified


def _camera(turn: float = 0.0, source: float = FAR, size: int = 200) -> Camera:
    return Camera(size, 0.1, (0.0, 0.0), turn, source, 10.0)


def _path(solid: Ellipsoid, camera: Camera) -> np.ndarray:
    out = np.zeros((camera.size, camera.size), np.float32)
    ellipsoid_path(solid, camera, out)
    return out


@pytest.mark.parametrize("turn", [0.0, 25.0, -70.0])
@pytest.mark.parametrize("tilt", [0.0, 40.0])
def test_the_integral_is_the_volume(turn: float, tilt: float) -> None:
    a, b, c = 3.0, 2.0, 4.5
    path = _path(Ellipsoid((0.7, 0.0, -0.4), (a, b, c), tilt), _camera(turn))
    assert path.sum() * 0.01 == pytest.approx(4 / 3 * np.pi * a * b * c, rel=0.01)


def test_the_longest_chord_of_a_sphere_is_its_diameter() -> None:
    path = _path(Ellipsoid((0.0, 0.0, 0.0), (2.5, 2.5, 2.5)), _camera(33.0))
    assert path.max() == pytest.approx(5.0, rel=0.01)
    assert (path > 0).any(0).sum() == pytest.approx(50, abs=1)


def test_turning_by_a_right_angle_swaps_width_and_depth() -> None:
    solid = Ellipsoid((0.0, 0.0, 0.0), (4.0, 1.5, 2.0))
    assert (_path(solid, _camera(0.0)) > 0).any(0).sum() == pytest.approx(80, abs=1)
    turned = _path(solid, _camera(90.0))
    assert (turned > 0).any(0).sum() == pytest.approx(30, abs=1)
    assert turned.max() == pytest.approx(8.0, rel=0.01)


def test_what_is_far_from_the_detector_is_larger() -> None:
    camera = _camera(source=180.0)
    near = (_path(Ellipsoid((0.0, 8.0, 0.0), (3.0, 1.0, 3.0)), camera) > 0).any(0).sum()
    far = (_path(Ellipsoid((0.0, -8.0, 0.0), (3.0, 1.0, 3.0)), camera) > 0).any(0).sum()
    assert far / near == pytest.approx((180 - 2) / (180 - 18), rel=0.02)


def test_points_land_where_solids_do() -> None:
    camera = Camera(200, 0.1, (0.5, -1.0), 20.0, 150.0, 10.0)
    centre = (2.0, -4.0, 1.5)
    path = _path(Ellipsoid(centre, (0.5, 0.5, 0.5)), camera)
    rows, columns = np.nonzero(path)
    found = [columns.mean() + 0.5, rows.mean() + 0.5]
    np.testing.assert_allclose(camera.place(np.array(centre)), found, atol=0.6)


def test_a_stack_of_sections_is_a_cylinder() -> None:
    camera = _camera(50.0)
    rows = camera.size
    path = section_path(np.full(rows, 6.0), np.full(rows, 4.0), camera)
    np.testing.assert_allclose(path.sum(1) * 0.1, np.pi * 24, rtol=0.01)
