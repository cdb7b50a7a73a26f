"""Objective: what a good prediction is. Here: few bits to write down the byte that came next."""

import math
from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection

from .engine.training.mean import Mean


@final
class Objective(nn.Module):
    """Cross-entropy, in nats per byte."""

    # With --preset compile: a large vocabulary makes the loss a large part of a step.
    compiles = True

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, time, vocabulary) logits and (batch, time) int64 bytes -> a scalar."""
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def metrics(self) -> MetricCollection:
        """Bits per byte: what an ideal coder would need; 8 for a uniform guess, lower is better."""
        return MetricCollection({"bits_per_byte": Mean()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: the loss in bits, and the number of bytes of which it is the mean."""
        metrics.update(loss / math.log(2), weight=targets.numel())

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, time, vocabulary) logits -> (batch, time) int64, the likeliest next byte."""
        return outputs.argmax(dim=-1)
