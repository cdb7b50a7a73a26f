"""Network: measures of a patient in, a score for getting worse out."""

from typing import final

import torch
from torch import Tensor, nn

from .data import FEATURES


@final
class Network(nn.Module):
    """A hidden layer on scaled measures: (batch, 9) float32 in the units of the file -> (batch, 1) logits.

    The scale is saved with the weights, so whoever loads the network gives it measures as they are.

    Args:
        width: of the hidden layer.
        dropout: fraction of the hidden layer that is not seen in training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("deviation", torch.ones(len(FEATURES)))
        hidden = nn.Linear(len(FEATURES), width)
        self.layers = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1))

    def learn_scale(self, features: Tensor) -> None:
        """Take mean and deviation from the training rows, (rows, 9)."""
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(features.std(dim=0).clamp(min=1e-6))  # a measure may be the same in all rows

    def forward(self, features: Tensor) -> Tensor:
        return self.layers((features - self.mean) / self.deviation)
