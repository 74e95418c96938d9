"""EcgNet: a score of aortic stenosis from two seconds of a twelve-lead ECG.

After "Multimodal early detection of aortic stenosis using deep learning on ECG and chest X-ray
with cooperative learning" (Front. Radiol. 2025, 1698680): one ResNet along time describes each
lead by 256 numbers, and a Transformer encoder gathers the leads in a class token, of which a
linear layer makes the score. Depth, heads, width and the learned lead embedding are not
published [reconstruction]: two pre-norm layers of 8 heads and 1024 hidden units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.ecg import LEADS
from models.resnet1d import ResNet1d

WIDTH = 256


class EcgOutput(NamedTuple):
    """What the network says of N windows of K leads.

    Attributes
    ----------
    score
        ``(N,)``, f_e of the cooperative learning: what the ECG adds to the prediction.
    features
        ``(N, 256)``, the class token after the last layer.
    attention
        ``(N, layers, heads, 1 + K)``: how the class token's attention in each layer is shared
        among itself and the leads; sums to 1.
    tokens
        ``(N, K, 256)``, each lead as the ResNet describes it, without lead embedding.
    """

    score: Tensor
    features: Tensor
    attention: Tensor
    tokens: Tensor


class EncoderLayer(nn.Module):
    """Pre-norm Transformer layer (Xiong et al., ICML 2020) that also returns its attention.

    Parameters
    ----------
    width, heads, hidden
        Of a token, of the attention, and of the layer's perceptron.
    dropout
        Probability to drop what attention and perceptron add, in training.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map tokens ``(N, S, width)`` to the same shape and to weights ``(N, heads, S, S)``."""
        n, s, width = x.shape
        each = width // self.heads
        q, k, v = self.qkv(self.norm1(x)).view(n, s, 3, self.heads, each).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / each**0.5).softmax(dim=-1)
        gathered = (weights.to(v.dtype) @ v).transpose(1, 2).reshape(n, s, width)
        x = x + self.dropout(self.out(gathered))
        x = x + self.dropout(self.narrow(functional.gelu(self.widen(self.norm2(x)))))
        return x, weights


class EcgNet(nn.Module):
    """Score of windows of 12 leads; 18.06 M parameters, 9.5 GMACs a window.

    Parameters
    ----------
    layers, heads, hidden
        Of the encoder.
    dropout
        Probability to drop what each part of the encoder adds, in training.
    """

    def __init__(
        self, layers: int = 2, heads: int = 8, hidden: int = 1024, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.lead = ResNet1d(WIDTH)
        self.class_token = nn.Parameter(torch.zeros(WIDTH))
        self.lead_embedding = nn.Parameter(torch.zeros(len(LEADS), WIDTH))
        self.layers = nn.ModuleList(
            EncoderLayer(WIDTH, heads, hidden, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 1)
        nn.init.normal_(self.class_token, std=0.02)
        nn.init.normal_(self.lead_embedding, std=0.02)

    def tokens(self, windows: Tensor) -> Tensor:
        """Describe each lead of ``(N, K, 1000)``, mV at 500 Hz, baseline at 0: ``(N, K, 256)``."""
        n, leads, samples = windows.shape
        described: Tensor = self.lead(windows.reshape(n * leads, samples))
        return described.view(n, leads, WIDTH)

    def decide(self, tokens: Tensor, leads: Tensor | None = None) -> EcgOutput:
        """Gather the leads.

        Parameters
        ----------
        tokens
            ``(N, K, 256)``, as :meth:`tokens` returns them.
        leads
            Which leads they are, int64 ``(N, K)``, positions in `models.ecg.LEADS`; None for all
            twelve in their order.
        """
        known = self.lead_embedding if leads is None else self.lead_embedding[leads]
        first = self.class_token.expand(len(tokens), 1, WIDTH)
        x = torch.cat([first, (tokens + known).to(first.dtype)], dim=1)
        shares = []
        for layer in self.layers:
            x, weights = layer(x)
            shares.append(weights[:, :, 0])
        features = self.norm(x[:, 0]).float()
        score = self.head(features)[:, 0].float()
        return EcgOutput(score, features, torch.stack(shares, dim=1).float(), tokens)

    def forward(self, windows: Tensor, leads: Tensor | None = None) -> EcgOutput:
        """Score windows.

        Parameters
        ----------
        windows
            ``(N, K, 1000)``, mV at 500 Hz, baseline at 0. K is 12; training may leave leads out.
        leads
            As in :meth:`decide`.
        """
        return self.decide(self.tokens(windows), leads)
