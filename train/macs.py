"""Counts what a forward pass costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(network: nn.Module, *inputs: Tensor) -> int:
    """Count the multiply-adds of convolutions, linear layers and attention in one forward pass."""
    was_training = network.training
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    network.train(was_training)
    return int(counter.get_total_flops()) // 2
