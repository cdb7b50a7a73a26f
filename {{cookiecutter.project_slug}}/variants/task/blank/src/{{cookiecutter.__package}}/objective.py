"""Objective: what a good prediction is. Here: a small squared distance to the target."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, MetricCollection


@final
class Objective(nn.Module):
    """Mean squared error. Arguments of `__init__` would stand in the configuration, under model.objective."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 1) and (batch, 1) -> a scalar."""
        return F.mse_loss(outputs, targets)

    def metrics(self) -> MetricCollection:
        """The mean distance to the target, in its unit."""
        return MetricCollection({"mae": MeanAbsoluteError()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: the outputs as they are, (batch, 1), and the targets.

        With two classes, give them probabilities, `outputs.sigmoid()`. torchmetrics' binary metrics decide for each
        batch anew whether they see logits, and take a batch of logits within [0, 1] for probabilities.
        """
        metrics.update(outputs, targets)

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 1) -> (batch, 1), in the target's unit."""
        return outputs

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch, 1) -> (batch,), in the target's unit."""
        return {"prediction": outputs[:, 0]}
