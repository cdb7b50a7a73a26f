"""Mean, a metric that does not wait for the device."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Mean(Metric):
    """The weighted mean of scalars over batches and processes; NaN if one of them is NaN, or if there are none.

    torchmetrics' MeanMetric looks for NaN at each update, and makes a tensor of the weight: on an accelerator, the host
    waits for the device twice.
    """

    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: float) -> None:
        """Take in a scalar, any floating dtype, that stands for so many samples."""
        self.total += value.to(self.total.dtype) * weight
        self.weight += weight

    def compute(self) -> Tensor:
        return self.total / self.weight
