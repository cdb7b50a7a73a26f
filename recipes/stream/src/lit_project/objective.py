"""Objective: what a good prediction is. Here: a small squared distance to the target."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanSquaredError, MetricCollection, R2Score

from .engine.training.analysis import Residuals


@final
class Objective(nn.Module):
    """Mean squared error, in the square of the target's unit."""

    task = "tabular-regression"  # in Hugging Face's words, for the card of an export

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 1) and (batch, 1) -> a scalar."""
        return F.mse_loss(outputs, targets)

    def metrics(self) -> MetricCollection:
        """Mean squared error, and R2: the share of the targets' variance that is explained, 1 at best."""
        return MetricCollection({"mse": MeanSquaredError(), "r2": R2Score()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: the outputs as they are, (batch, 1), and the targets."""
        metrics.update(outputs, targets)

    def analysis(self) -> MetricCollection:
        """What `test` and `validate` keep as tables and pictures; it sees what the metrics see."""
        return MetricCollection({"residuals": Residuals(of="arrival in decay times")})

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 1) -> (batch, 1), in the target's unit."""
        return outputs

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch, 1) -> (batch,), in the target's unit."""
        return {"prediction": outputs[:, 0]}
