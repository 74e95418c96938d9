"""Echo-E3Net: its size and cost are the published ones, its outputs are what they say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.echo_e3net import EchoE3Net, Tokenizer, resize_state


@pytest.fixture(scope="module")
def network() -> EchoE3Net:
    torch.manual_seed(0)
    return EchoE3Net(112).eval()


def _macs(network: nn.Module, clips: Tensor) -> float:
    """Multiply-adds of convolutions, linear layers and attention for one clip."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(clips)
    return counter.get_total_flops() / 2


def test_size_and_cost_are_near_the_published_ones(network: EchoE3Net) -> None:
    assert sum(p.numel() for p in network.parameters()) == 6_791_274  # published: 6.8 M
    macs = _macs(network, torch.zeros(1, 1, 32, 112, 112))
    assert 8.29e9 < macs < 8.5e9  # published: 8.49 G


def test_outputs_have_their_shapes_and_ranges(network: EchoE3Net) -> None:
    clips = torch.randint(0, 256, (2, 1, 32, 112, 112), dtype=torch.uint8)
    with torch.inference_mode():
        prediction = network(clips)
        taps = network.features(clips)
    assert prediction.ejection_fraction.shape == (2,)
    assert prediction.borders.shape == (2, 2, 20, 4)
    assert ((prediction.ejection_fraction > 0) & (prediction.ejection_fraction < 1)).all()
    shapes = [tuple(tap.shape[1:]) for tap in taps]
    assert shapes == [(12, 32, 56, 56), (16, 16, 28, 28), (32, 8, 14, 14), (200, 8, 7, 7)]


def test_frames_after_the_valid_ones_do_not_matter() -> None:
    torch.manual_seed(0)
    network = EchoE3Net(64).eval()
    clips = torch.randint(0, 256, (1, 1, 32, 64, 64), dtype=torch.uint8)
    changed = clips.clone()
    changed[:, :, 20:] = 0
    valid = torch.tensor([20])
    with torch.inference_mode():
        first, second = network(clips, valid), network(changed, valid)
        unpadded = network(clips)
    assert torch.equal(first.borders, second.borders)
    assert not torch.equal(first.borders, unpadded.borders)


def test_weights_move_between_sizes() -> None:
    torch.manual_seed(0)
    small = EchoE3Net(64)
    position = small.stage3.attention.position
    nn.init.normal_(position)
    state = resize_state(small.state_dict(), 112)
    large = EchoE3Net(112)
    large.load_state_dict(state)
    weight = "stage3.attention.tokens.token_projection.weight"
    before, after = small.state_dict()[weight].sum(1), state[weight].sum(1)
    torch.testing.assert_close(before, after, atol=6e-2, rtol=0)
    same = resize_state(small.state_dict(), 64)
    torch.testing.assert_close(same["stage3.attention.position"], position.detach())


def test_input_side_must_be_a_multiple_of_16() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        EchoE3Net(100)


def test_token_statistics_are_those_of_the_mapped_channels() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(12, 72, time_steps=32, cells=4)
    x = torch.randn(2, 12, 32, 32, 32)
    with torch.inference_mode():
        tokens = tokenizer(x)
        mapped = tokenizer.point_wise(x).view(2, 72, 32, 4, 8, 4, 8)
    mean = mapped.mean((4, 6)).flatten(2)
    maximum = mapped.amax((4, 6)).flatten(2)
    variance = mapped.var((4, 6), correction=0).flatten(2)
    torch.testing.assert_close(
        tokens, torch.cat([mean, maximum, variance], 1), rtol=1e-3, atol=1e-5
    )
