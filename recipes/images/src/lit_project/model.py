"""Model, the LightningModule: how the network learns from a batch."""

from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from .data import CLASSES, Batch
from .engine.training.module import EngineModule
from .engine.training.parameter_groups import in_groups
from .engine.training.schedules import stepping
from .network import Network
from .objective import Objective


class Model(EngineModule):
    """A network with what it takes to train, judge and use it.

    Args:
        network: turns the inputs of a batch into outputs.
        objective: turns outputs and targets into a loss, metrics and predictions.
        optimizer: a class of torch.optim and its arguments, all but the parameters.
        lr_scheduler: a schedule and its arguments, all but the optimizer. WarmupCosine and torch's schedules are
            stepped after each optimizer step, pytorch_lightning.cli.ReduceLROnPlateau after each epoch.
        lr_factors: factors of the learning rate for parts of the model, as {network.features: 0.1}.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable,
        lr_factors: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # loggers get the whole configuration, with data and trainer
        self.network = network
        self.objective = objective
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_factors = lr_factors
        self.add_metrics(objective.metrics())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take a batch apart into inputs and targets. No other line knows what a batch consists of."""
        return batch.pictures, batch.classes

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor | list[str]]:
        probabilities, classes = self.objective.prediction(self(batch.pictures))
        return {"file": list(batch.files), "class": [CLASSES[n] for n in classes], "probability": probabilities}

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Loss and metrics of one batch; returns the loss to descend, a scalar."""
        inputs, targets = self.split(batch)
        outputs = self(inputs)
        loss = self.objective(outputs, targets)
        self.objective.update_metrics(self.metrics_of(stage), outputs.detach(), targets, loss.detach())
        return self.log_stage(stage, loss, batch)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = in_groups(self.optimizer, self, self.lr_factors)
        return {"optimizer": optimizer, "lr_scheduler": stepping(self.lr_scheduler(optimizer), self)}
