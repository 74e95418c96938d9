"""How weights are written: half precision, or 8 bit for the large arrays (weight-only).

Networks compute in the precision of the machine; the encoding only makes blobs small. In ``int8``
each output channel of a large array has a scale of its own, chosen so that its largest weight is
127; small arrays (norms, biases, tokens) stay in half precision. A variance of large activations
that is beyond half precision (65,504) stays in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Encoding = Literal["float16", "int8"]

_SCALE = ".int8_scale"
_LEAST_WEIGHTS = 4096


def encode(state: Mapping[str, Tensor], encoding: Encoding) -> dict[str, Tensor]:
    """Make what a blob holds of a state dict."""
    encoded: dict[str, Tensor] = {}
    for name, value in state.items():
        weights = value.detach().cpu()
        if not weights.is_floating_point():
            encoded[name] = weights.contiguous()
        elif encoding == "int8" and weights.dim() >= 2 and weights.numel() >= _LEAST_WEIGHTS:
            encoded[name], encoded[name + _SCALE] = _to_int8(weights.float())
        else:
            half = weights.half()
            encoded[name] = (half if half.isfinite().all() else weights).contiguous()
    return encoded


def decode(encoded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make a state dict of what a blob holds; floating point numbers come out as float32."""
    state: dict[str, Tensor] = {}
    for name, value in encoded.items():
        if name.endswith(_SCALE):
            continue
        scale = encoded.get(name + _SCALE)
        if scale is not None:
            state[name] = value.float() * scale.reshape(-1, *[1] * (value.dim() - 1))
        else:
            state[name] = value.float() if value.is_floating_point() else value
    return state


def _to_int8(weights: Tensor) -> tuple[Tensor, Tensor]:
    scale = weights.abs().flatten(1).amax(1).clamp_min(1e-12) / 127
    steps = (weights / scale.reshape(-1, *[1] * (weights.dim() - 1))).round()
    return steps.clamp(-127, 127).to(torch.int8).contiguous(), scale.contiguous()
