"""The ECG's picture: traces to scale, heat where it belongs, a page for every 10 s."""

from __future__ import annotations

import numpy as np
import pytest

from models.ecg import LEADS
from node.findings.ecg_picture import EcgPicture, draw_ecg, place

_V2, _V3 = LEADS.index("V2"), LEADS.index("V3")


def _picture(seconds: float = 10.0, millivolts: float = 1.0) -> EcgPicture:
    samples = round(seconds * 500)
    signal = np.zeros((12, samples), np.float32)
    signal[:, 250::500] = millivolts
    heat = np.zeros((12, samples), np.float32)
    weights = np.full(12, 1 / 12)
    return EcgPicture(signal, heat, weights, "an ECG")


def _dark(page: np.ndarray) -> np.ndarray:
    return np.asarray(page.max(axis=-1) < 90)


def test_a_page_for_every_ten_seconds() -> None:
    assert draw_ecg(_picture(3.0)).shape[0] == 1
    assert draw_ecg(_picture(10.0)).shape[0] == 1
    pages = draw_ecg(_picture(21.0))
    assert pages.shape[0] == 3
    assert pages.dtype == np.uint8
    assert pages.shape[1] % 2 == pages.shape[2] % 2 == 0  # colour is stored for pairs of pixels


@pytest.mark.parametrize(("millivolts", "pixels"), [(1.0, 50), (2.4, 60)])
def test_the_trace_is_to_scale(millivolts: float, pixels: int) -> None:
    """5 pixels are a millimetre: 10 mm/mV, and 5 mm/mV where the leads are large."""
    picture = _picture(millivolts=millivolts)
    picture.signal[:, 240:260] = millivolts
    picture.signal[:, 740:760] = millivolts
    _, box = place(_V2, 235, 265)
    middle = (box.y0 + box.y1) // 2
    column = _dark(draw_ecg(picture)[0])[middle - 75 : middle + 3, (box.x0 + box.x1) // 2]
    top = int(np.flatnonzero(column)[0])
    assert 75 - top == pytest.approx(pixels, abs=2)


def test_heat_tints_its_lead_at_its_time() -> None:
    plain, picture = _picture(), _picture()
    picture.heat[_V2, 1000:1200] = 1.0
    changed = (draw_ecg(picture)[0] != draw_ecg(plain)[0]).any(axis=-1)
    page, box = place(_V2, 1000, 1200)
    assert page == 0
    inside = changed[box.y0 : box.y1, box.x0 : box.x1]
    assert inside[20:-20].mean() > 0.9
    changed[box.y0 : box.y1, box.x0 - 2 : box.x1 + 2] = False
    assert not changed.any()


def test_heat_that_is_not_known_is_not_drawn() -> None:
    plain, picture = _picture(), _picture()
    picture.heat[:, 3000:] = np.nan
    np.testing.assert_array_equal(draw_ecg(picture), draw_ecg(plain))


def test_the_bars_follow_the_attention() -> None:
    picture = _picture()
    picture.lead_weights[:] = 0.05
    picture.lead_weights[_V3] = 0.45
    page = draw_ecg(picture)[0]
    lengths = []
    for lead in range(12):
        _, box = place(lead, 4990, 5000)
        row = page[(box.y0 + box.y1) // 2, box.x1 + 10 :]
        lengths.append(int((np.abs(row.astype(int) - (96, 60, 150)).sum(axis=-1) < 20).sum()))
    assert int(np.argmax(lengths)) == _V3
    assert lengths[_V3] == pytest.approx(9 * lengths[0], rel=0.15)


def test_places() -> None:
    assert place(0, 5000, 5500)[0] == 1
    first, second = place(3, 0, 500)[1], place(3, 500, 1000)[1]
    assert first.x1 == second.x0
    assert first.width == 125  # 25 mm of 5 pixels
    assert place(3, 4900, 9000)[1].x1 == place(3, 4900, 5000)[1].x1
