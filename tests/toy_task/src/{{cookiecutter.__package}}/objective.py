"""What a good prediction is: close to the sum."""

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, MetricCollection


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error: (batch, 1) and (batch, 1) -> a scalar."""
    return F.mse_loss(outputs, targets)


def metrics() -> MetricCollection:
    """The mean distance from the sum."""
    return MetricCollection({"distance": MeanAbsoluteError()})


def prediction(outputs: Tensor) -> Tensor:
    """The answer to give: (batch, 1) -> the same."""
    return outputs
