"""The septal flash network: its size, its precision, its maps, and where it can start from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import densenet121

from models.cam import grad_cam_plus_plus, min_max
from models.septal_flash_net import SeptalFlashNet, load_features, resize_state
from models.weights import count_parameters


@pytest.fixture(scope="module")
def network() -> SeptalFlashNet:
    torch.manual_seed(0)
    return SeptalFlashNet(128).eval()


def strips(count: int = 2, side: int = 128) -> torch.Tensor:
    grey = np.random.default_rng(0).integers(0, 255, (count, 1, side, side))
    return torch.from_numpy(grey.astype(np.uint8))


def test_parameters_are_those_of_a_densenet121_with_two_classes(network: SeptalFlashNet) -> None:
    assert count_parameters(network) == 6_955_906


def test_last_map_is_a_32nd_of_the_input(network: SeptalFlashNet) -> None:
    with torch.inference_mode():
        last = network.features(strips(1))
        assert last.shape == (1, 1024, 4, 4)  # 8 x 8 for 256
        assert network.decide(last).shape == (1, 2)
        torch.testing.assert_close(network(strips(1)), network.decide(last))


def test_bfloat16_agrees_with_float32(network: SeptalFlashNet) -> None:
    with torch.inference_mode():
        exact = network(strips())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = network(strips())
    assert low.dtype == torch.float32
    assert float((low - exact).norm() / exact.norm()) <= 1e-2


def test_grad_cam_looks_at_the_last_map(network: SeptalFlashNet) -> None:
    last = network.features(strips()).detach().requires_grad_()
    cam = grad_cam_plus_plus(last, network.decide(last)[:, 1])
    assert cam.shape == (2, 4, 4)
    assert bool((cam >= 0).all())


def test_the_evidence_is_what_grad_cam_plus_plus_shows() -> None:
    network = SeptalFlashNet(64).eval()
    logits, evidence = network(strips(2, 64), with_evidence=True)
    last = network.features(strips(2, 64)).detach().requires_grad_()
    torch.testing.assert_close(logits, network.decide(last))
    for answer in (0, 1):
        cam = grad_cam_plus_plus(last, network.decide(last)[:, answer])
        torch.testing.assert_close(min_max(cam), min_max(evidence[:, answer]), rtol=1e-3, atol=1e-3)


def test_mean_image_is_subtracted_and_resized() -> None:
    network = SeptalFlashNet(64).eval()
    mean = strips(1, 64).float()
    network.mean_image.copy_(mean)
    with torch.inference_mode():
        none = network(mean)
        network.mean_image.fill_(0)
        torch.testing.assert_close(none, network(torch.zeros(1, 1, 64, 64)))
    state = resize_state(network.state_dict(), 128)
    SeptalFlashNet(128).load_state_dict(state)


@pytest.mark.parametrize("prefix", ["features.", "backbone.0."])
def test_features_of_another_densenet_are_taken(prefix: str) -> None:
    other = densenet121(weights=None, num_classes=5)
    state = {prefix + k: v for k, v in other.features.state_dict().items()}
    network = SeptalFlashNet(64)
    load_features(network, {**state, "classifier.weight": torch.zeros(5, 1024)})
    torch.testing.assert_close(
        network.densenet.features.state_dict(), other.features.state_dict(), rtol=0, atol=0
    )


def test_old_names_are_understood_and_foreign_weights_refused() -> None:
    state = densenet121(weights=None).features.state_dict()
    old = {
        "features." + k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v
        for k, v in state.items()
    }
    load_features(SeptalFlashNet(64), old)
    with pytest.raises(ValueError, match="not the weights of a DenseNet"):
        load_features(SeptalFlashNet(64), {"conv1.weight": torch.zeros(1)})
    del old["features.norm5.weight"]
    with pytest.raises(ValueError, match=r"DenseNet121: norm5\.weight"):
        load_features(SeptalFlashNet(64), old)
