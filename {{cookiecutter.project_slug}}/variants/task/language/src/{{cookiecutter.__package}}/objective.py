"""What a good prediction is: few bits to write down the byte that came next."""

import math

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, MetricCollection


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy: (batch, time, 256) logits and (batch, time) int64 bytes -> a scalar, in nats per byte."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


class BitsPerByte(MeanMetric):
    """The mean of -log2 p(byte): what an ideal coder would need, comparable with a file compressor's rate."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:  # type: ignore[override] # as a collection calls it
        super().update(loss(outputs, targets) / math.log(2), weight=targets.numel())


def metrics() -> MetricCollection:
    """Bits per byte: 8 for a uniform guess, lower is better."""
    return MetricCollection({"bits_per_byte": BitsPerByte()})


def prediction(outputs: Tensor) -> Tensor:
    """The answer to give: (batch, time, 256) logits -> (batch, time) int64, the likeliest next byte."""
    return outputs.argmax(dim=-1)
