"""Objective: what a good prediction is. Here: few bits to write down the byte that came next."""

import math
from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, MetricCollection


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """(batch, time, 256) logits and (batch, time) int64 bytes -> a scalar, in nats per byte."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


class BitsPerByte(MeanMetric):
    """The mean of -log2 p(byte): what an ideal coder would need, comparable with a file compressor's rate."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:  # type: ignore[override] # as a collection calls it
        super().update(cross_entropy(outputs, targets) / math.log(2), weight=targets.numel())


@final
class Objective(nn.Module):
    """Cross-entropy, in nats per byte."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, time, 256) logits and (batch, time) int64 bytes -> a scalar."""
        return cross_entropy(outputs, targets)

    def metrics(self) -> MetricCollection:
        """Bits per byte: 8 for a uniform guess, lower is better."""
        return MetricCollection({"bits_per_byte": BitsPerByte()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor) -> None:
        """What the metrics see of a batch: the logits, (batch, time, 256), and the bytes."""
        metrics.update(outputs, targets)

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, time, 256) logits -> (batch, time) int64, the likeliest next byte."""
        return outputs.argmax(dim=-1)
