"""Network: bytes in, a score for each possible next byte out."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .engine.errors import require

BYTES = 256
TABULATED = 8192  # positions whose rotations are computed once


@final
class Network(nn.Module):
    """A decoder-only transformer: (batch, time) bytes, int64 -> (batch, time, vocabulary) logits.

    Position t sees the bytes up to t and scores the byte at t + 1. Any time is accepted; beyond the
    length it was trained on, expect worse predictions.

    Args:
        width: numbers per position.
        depth: blocks, one after the other.
        heads: attention heads; width / heads must be even, for the rotary positions.
        dropout: fraction of each block's output that is dropped in training.
        vocabulary: values that are told apart, at least the 256 of a byte.
        tied: whether the head has the weights of the embedding (Press and Wolf 2016, https://arxiv.org/abs/1608.05859).
    """

    def __init__(self, width: int, depth: int, heads: int, dropout: float, vocabulary: int, tied: bool) -> None:
        super().__init__()
        require(depth=depth, heads=heads, at_least=1)
        require(width=width, at_least=1, multiple_of=2 * heads)
        require(dropout=dropout, at_least=0, at_most=1)
        require(vocabulary=vocabulary, at_least=BYTES)
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        # Compiled, a sine costs more than reading one.
        self.rotations: Tensor
        self.register_buffer("rotations", rotations(TABULATED, width // heads // 2), persistent=False)
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        self.apply(initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        x, time = self.embedding(tokens), tokens.shape[1]
        table = self.rotations
        turns = table[:, :time] if time <= TABULATED else rotations(time, table.shape[-1], table.device)
        for block in self.blocks:
            x = block(x, turns)
        return self.head(self.norm(x))


class Block(nn.Module):
    """Attention, then a position-wise network, each added to its input: (batch, time, width) -> the same.

    `turns` are the rotations of these positions: (2, time, width / heads / 2).
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False)
        )
        self.norm_attention = nn.RMSNorm(width)
        self.norm_mlp = nn.RMSNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x), turns))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class Attention(nn.Module):
    """Causal self-attention over several heads: (batch, time, width) -> the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        q, k = rotate(q, turns), rotate(k, turns)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(-2))


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn each pair of numbers by an angle that grows with its position: (batch, time, heads, size) -> the same.

    The dot product of two turned vectors depends on their distance, not on where they stand
    (rotary position embedding, Su et al. 2021, https://arxiv.org/abs/2104.09864).
    """
    cos, sin = turns.to(x.dtype).unsqueeze(-2)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def rotations(time: int, half: int, device: torch.device | None = None) -> Tensor:
    """Cosine and sine of the angle of each position and pair: (2, time, half)."""
    rates = 10_000 ** (-torch.arange(half, device=device) / half)
    angles = torch.outer(torch.arange(time, device=device), rates)
    return torch.stack([angles.cos(), angles.sin()])


def initialise(module: nn.Module) -> None:
    """Small normal weights, of GPT-2's deviation: the first loss is then close to that of a uniform guess."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
