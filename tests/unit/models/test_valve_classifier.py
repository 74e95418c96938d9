"""The calcification classifier and the crop it sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.inputs import Box
from models.preprocess import Sector
from models.sector_crop import crop_sector
from models.valve_classifier import CHANNELS, ValveClassifier
from models.valve_crop import SIZE, crop_valve
from models.weights import count_parameters


@pytest.fixture(scope="module")
def network() -> ValveClassifier:
    torch.manual_seed(0)
    return ValveClassifier().eval()


def test_it_has_the_papers_size(network: ValveClassifier) -> None:
    assert count_parameters(network) == 8_616_993
    assert count_parameters(network.backbone) == 2_971_952


def test_the_flattened_map_knows_where(network: ValveClassifier) -> None:
    """Pooling would give the same answer for a map and its mirror image; flattening does not."""
    maps = torch.randn(1, CHANNELS, 7, 7)
    with torch.no_grad():
        assert float(network.decide(maps)) != pytest.approx(float(network.decide(maps.flip(3))))
        crops = torch.randint(0, 255, (2, 1, SIZE, SIZE), dtype=torch.uint8)
        assert network.features(crops).shape == (2, CHANNELS, 7, 7)
        assert network(crops).shape == (2,)


def test_half_precision_says_the_same() -> None:
    torch.manual_seed(1)
    network = ValveClassifier()
    crops = torch.randint(0, 255, (4, 1, SIZE, SIZE), dtype=torch.uint8)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(crops)  # statistics of a real batch, or the untrained network's maps fade to 0
        network.eval()
        exact = network(crops).sigmoid()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(crops)
    assert logits.dtype == torch.float32
    assert float(exact.std()) > 1e-4
    assert torch.allclose(logits.sigmoid(), exact, rtol=1e-2)


def test_a_crop_loses_its_minimum_and_is_stretched() -> None:
    frame = np.full((100, 120), 50, np.uint8)
    frame[40:60, 20:60] = 90
    frame[45:55, 30:50] = 30
    crop = crop_valve(frame, np.array([20.0, 40.0, 60.0, 60.0]))
    assert crop.shape == (SIZE, SIZE) and crop.dtype == np.uint8
    assert crop.min() == 0 and crop.max() == 60
    assert crop[0, 0] == 60 and crop[SIZE // 2, SIZE // 2] == 0


def test_a_crop_over_the_edge_is_cut_and_one_beside_it_refused() -> None:
    frame = np.arange(100, dtype=np.uint8)[None].repeat(50, 0)
    crop = crop_valve(frame, np.array([90.0, 10.0, 130.0, 30.0]))
    assert crop.max() == 9
    with pytest.raises(ValueError, match="outside"):
        crop_valve(frame, np.array([120.0, 0.0, 130.0, 10.0]))


def test_the_sector_is_cut_out_and_boxes_find_back() -> None:
    frames = np.full((2, 240, 320), 80, np.uint8)
    mask = np.zeros((240, 320), np.bool_)
    mask[40:200, 100:220] = True
    mask[40:80, 100:140] = False
    squares, crop = crop_sector(frames, Sector(Box(100, 40, 220, 200), mask, True), 320)
    assert squares.shape == (2, 320, 320)
    # 120 x 160 at twice the size: 40 columns of grey on either side
    assert (squares[:, :, :40] == 114).all() and (squares[:, :, 280:] == 114).all()
    assert (squares[:, 100:, 42:278] == 80).all() and (squares[:, :78, 42:118] == 0).all()
    source = crop.to_source(np.array([40.0, 0.0, 280.0, 320.0]))
    assert source.tolist() == [100.0, 40.0, 220.0, 200.0]
    assert crop.to_square(source).tolist() == [40.0, 0.0, 280.0, 320.0]
