"""Echo-E3Net: the ejection fraction and the endocardial borders of an apical echo clip.

A reconstruction after the authors' figure (arXiv 2503.17543v1) and their statement that the
backbone is LHU-Net's encoder; no reference implementation is public. From the figure: the four
stages with their strides and taps, the E2CBD path (point-wise convolution, tokens with positions,
channel mix, token mixer, two queries, two border extractors), the E2FA statistics and the
sigmoid at the end. Hypotheses of ours, marked [hyp] below: grey input, the last stage's width
(200), statistics per token (average, maximum, variance) on a 4x4 grid, linear mixers, the widths
of the perceptrons. With them the network has the published size (6.8 M parameters) and cost
(8.3 against 8.5 GMACs); that is consistent with the paper, not a proof.

The published backbone uses deformable large-kernel attention, which needs an operator that the
CPU does not have: here stage 3 uses the plain large kernels and stage 4 a 3x3x3 depth-wise one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import (
    ChannelAttention,
    ConvolutionStage,
    HybridAttention,
    HybridStage,
    LargeKernelAttention,
    Perceptron,
    ResidualBlock,
    SpatialAttention,
    initialise,
)

FRAMES = 32
CHORDS = 20
TIME_STEPS = 8  # of the last two stages, for 32 frames


class Prediction(NamedTuple):
    """What Echo-E3Net says about a batch of clips.

    Attributes
    ----------
    ejection_fraction
        ``(B,)``, a fraction, 0 to 1.
    borders
        ``(B, 2, 20, 4)``: end-diastole and end-systole; chords from apex to mitral base;
        x1, y1 (left end), x2, y2 (right end) as fractions of the input's side.
    """

    ejection_fraction: Tensor
    borders: Tensor


class Tokenizer(nn.Module):
    """Tokens of one feature map: statistics in a grid of cells per time step, with positions.

    [hyp] Average, maximum and variance of each of h channels in g x g cells.
    """

    def __init__(self, channels: int, width: int, time_steps: int, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.point_wise = nn.Conv3d(channels, width, 1)
        self.position = nn.Parameter(torch.zeros(1, 3 * width, time_steps * cells**2))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, T, H, W)`` to ``(B, 3h, T * g * g)``."""
        steps, weight = x.shape[2], self.point_wise.weight.flatten(1)
        cells = _cells(x, self.cells).permute(0, 2, 3, 5, 1, 4, 6).flatten(5).flatten(0, 3).float()
        mean_in = cells.mean(2)  # (B * T * g * g, C)
        centred = cells - mean_in[..., None]
        covariance = centred @ centred.transpose(1, 2) / cells.shape[2]
        # average and variance of a linear map follow from its input's: 6 times less to move than
        # taking them of the h channels; only the maximum needs those
        mean = functional.linear(mean_in, weight, self.point_wise.bias)
        variance = ((covariance @ weight.t()) * weight.t()).sum(1)
        moments = torch.stack([mean, variance]).view(2, x.shape[0], -1, len(weight)).transpose(2, 3)
        pooled = functional.adaptive_max_pool3d(self.point_wise(x), (steps, self.cells, self.cells))
        tokens = torch.cat([moments[0], pooled.flatten(2).float(), moments[1]], dim=1)
        return tokens + self.position


class TokenMixer(nn.Module):
    """A linear map over tokens: N of them to one per chord. [hyp] linear."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(tokens, CHORDS)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, h, N)`` to ``(B, 20, h)``."""
        out: Tensor = self.norm(self.mix(x).transpose(1, 2))
        return out


class E2CBD(nn.Module):
    """Endocardial border detector: taps 1 to 3 to the borders at end-diastole and end-systole.

    Parameters
    ----------
    taps
        Channels and time steps of each tap.
    width, cells, hidden
        h, g, and the hidden width of the border extractors.
    """

    def __init__(
        self, taps: tuple[tuple[int, int], ...], width: int, cells: int, hidden: int
    ) -> None:
        super().__init__()
        self.tokenizers = nn.ModuleList(
            Tokenizer(channels, width, steps, cells) for channels, steps in taps
        )
        self.channel_mix = nn.Sequential(nn.Linear(3 * width, width), nn.GELU())
        self.token_mixer = TokenMixer(sum(steps for _, steps in taps) * cells**2, width)
        self.query_ed = nn.Parameter(torch.zeros(CHORDS, width))
        self.query_es = nn.Parameter(torch.zeros(CHORDS, width))
        self.border_ed = Perceptron((width, hidden, 4))
        self.border_es = Perceptron((width, hidden, 4))

    def forward(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Map three feature maps to borders ``(B, 2, 20, 4)``."""
        tokens = [tokenize(tap) for tokenize, tap in zip(self.tokenizers, taps, strict=True)]
        joined = torch.cat(tokens, dim=2).transpose(1, 2)  # (B, N, 3h)
        mixed = self.token_mixer(self.channel_mix(joined).transpose(1, 2))
        ed = self.border_ed(mixed + self.query_ed)
        es = self.border_es(mixed + self.query_es)
        return torch.stack([ed, es], dim=1).float() + 0.5


class E2FA(nn.Module):
    """Feature aggregator: statistics of the last map and the borders to the ejection fraction."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.borders = Perceptron((2 * CHORDS * 4, dim, dim))
        self.head = Perceptron((4 * dim, dim, 1))

    def forward(self, x: Tensor, borders: Tensor) -> Tensor:
        """Map ``(B, D, T, H, W)`` and ``(B, 2, 20, 4)`` to ``(B,)`` in 0 to 1."""
        flat = x.flatten(2).float()
        statistics = [flat.mean(2), flat.amax(2), flat.var(2, correction=0)]
        joined = torch.cat([*statistics, self.borders(borders.flatten(1) - 0.5).float()], dim=1)
        return torch.sigmoid(self.head(joined).float().squeeze(1))


class EchoE3Net(nn.Module):
    """Ejection fraction and borders of 32-frame grey clips.

    Parameters
    ----------
    size
        Side of the input in pixels, a multiple of 16. Position embeddings and one token
        projection depend on it; :func:`resize_state` carries weights to another size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int = 112) -> None:
        super().__init__()
        if size % 16:
            raise ValueError(f"the input's side must be a multiple of 16, not {size}")
        self.size = size
        third, fourth = size // 8, size // 16
        grid3, grid4 = (TIME_STEPS, third, third), (TIME_STEPS, fourth, fourth)
        self.register_buffer("mean", torch.tensor(32.0))
        self.register_buffer("std", torch.tensor(50.0))
        self.stem = nn.Sequential(nn.Conv3d(1, 6, 1), nn.PReLU(), nn.BatchNorm3d(6))
        self.stage1 = ConvolutionStage(6, 12, (1, 2, 2))
        self.stage2 = ConvolutionStage(12, 16, (2, 2, 2))
        attention3 = HybridAttention(
            32,
            grid3,
            LargeKernelAttention(32, (5, 7), dilation=3),
            SpatialAttention(TIME_STEPS * third**2, 32, heads=4, proj_size=64),
        )
        self.stage3 = HybridStage((16, 32), (2, 2, 2), attention3)
        attention4 = HybridAttention(
            200, grid4, LargeKernelAttention(200, (3, 0)), ChannelAttention(200, heads=8)
        )
        self.stage4 = HybridStage((32, 200), (1, 2, 2), attention4)
        self.border_detector = E2CBD(
            ((12, FRAMES), (16, FRAMES // 2), (32, TIME_STEPS)), width=72, cells=4, hidden=200
        )
        self.aggregator = E2FA(200)
        self.apply(initialise)
        nn.init.normal_(self.border_detector.query_ed, std=0.5)
        nn.init.normal_(self.border_detector.query_es, std=0.5)

    def features(self, clips: Tensor, valid: Tensor | None = None) -> tuple[Tensor, ...]:
        """Run the backbone.

        Parameters
        ----------
        clips
            ``(B, 1, 32, size, size)``, grey 0 to 255, uint8 or float.
        valid
            ``(B,)`` frames that are real; later ones are zeroed after normalisation. All when
            None.

        Returns
        -------
        Taps 1 to 3 and the last map.
        """
        x = (clips.float() - self.mean) / self.std
        if valid is not None:
            steps = torch.arange(x.shape[2], device=x.device)
            x = x * (steps[None, :] < valid[:, None])[:, None, :, None, None]
        tap1 = self.stage1(self.stem(x))
        tap2 = self.stage2(tap1)
        tap3 = self.stage3(tap2)
        return tap1, tap2, tap3, self.stage4(tap3)

    def decide(self, taps: tuple[Tensor, ...]) -> Prediction:
        """Run the heads on what :meth:`features` returned."""
        borders = self.border_detector(taps[:3])
        return Prediction(self.aggregator(taps[3], borders), borders)

    def pooled(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Reduce the last map of :meth:`features` to its means ``(B, 200)``."""
        return taps[-1].mean((2, 3, 4))

    def forward(self, clips: Tensor, valid: Tensor | None = None) -> Prediction:
        """Predict; arguments as in :meth:`features`."""
        return self.decide(self.features(clips, valid))


def resize_state(state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """Carry the weights of a network to another input size (progressive resizing).

    Parameters
    ----------
    state
        ``EchoE3Net(any size).state_dict()``.
    size
        Side of the new input, a multiple of 16.

    Returns
    -------
    A state dict for ``EchoE3Net(size)``: position embeddings and the token projection are
    interpolated over their grid, the projection scaled so that its sums stay the same.
    """
    resized = dict(state)
    third, fourth = size // 8, size // 16
    for name, side in (("stage3", third), ("stage4", fourth)):
        key = f"{name}.attention.position"
        table = state[key].float().transpose(1, 2)  # (1, d, N)
        resized[key] = _resize_tokens(table, side).transpose(1, 2).to(state[key].dtype)
    key = "stage3.attention.tokens.token_projection.weight"
    weight = state[key].float()[None]  # (1, p, N)
    scaled = _resize_tokens(weight, third) * (weight.shape[-1] / (TIME_STEPS * third**2))
    resized[key] = scaled[0].to(state[key].dtype)
    return resized


def _resize_tokens(table: Tensor, side: int) -> Tensor:
    """Interpolate ``(1, d, T * s * s)`` to ``(1, d, T * side * side)``."""
    old = round((table.shape[-1] / TIME_STEPS) ** 0.5)
    volume = table.reshape(1, -1, TIME_STEPS, old, old)
    grid = functional.interpolate(
        volume, size=(TIME_STEPS, side, side), mode="trilinear", align_corners=False
    )
    return grid.flatten(2)


def _cells(x: Tensor, cells: int) -> Tensor:
    """Split rows and columns into `cells` equal windows: ``(B, C, T, g, H', g, W')``.

    The windows are those of adaptive pooling; they overlap by one where g does not divide the
    side (14 into 4: windows of 4 that start at 0, 3, 7 and 10).
    """
    b, c, t, rows, columns = x.shape
    if rows % cells or columns % cells:
        x = x.index_select(3, _windows(rows, cells, x.device))
        x = x.index_select(4, _windows(columns, cells, x.device))
        _, _, _, rows, columns = x.shape
    return x.view(b, c, t, cells, rows // cells, cells, columns // cells)


def _windows(side: int, cells: int, device: torch.device) -> Tensor:
    length = -(-side // cells)
    starts = [cell * side // cells for cell in range(cells)]
    return torch.cat([torch.arange(s, s + length, device=device) for s in starts])


__all__ = ["CHORDS", "FRAMES", "EchoE3Net", "Prediction", "ResidualBlock", "resize_state"]
