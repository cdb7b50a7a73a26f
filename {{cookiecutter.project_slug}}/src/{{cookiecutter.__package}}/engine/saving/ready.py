"""Ready: a trained model with all that belongs to it, from inputs as users have them to named answers."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from .checkpoints import refuse_other_model
from .weights import PREPROCESSING, Weights, compare


class Ready(nn.Module):
    """Answers for raw inputs: (batch, ...) -> {name: (batch, ...)}. In eval mode, and without gradients.

    Args:
        preprocessing: from inputs as users have them to those that the model was trained on.
        model: a trained model, whose objective has the method `answers`.
        data: the DataModule of its training, of which nothing has been prepared.
    """

    def __init__(self, preprocessing: nn.Module, model: pl.LightningModule, data: pl.LightningDataModule) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.model = model
        self.data = data
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        objective: Any = self.model.objective
        return objective.answers(self.model(self.preprocessing(inputs)))


def weights_of(ready: Ready) -> Weights:
    """The weights under the names that they have in a checkpoint, and before them those of the preprocessing."""
    preprocessing = {PREPROCESSING + name: tensor for name, tensor in ready.preprocessing.state_dict().items()}
    return {**preprocessing, **ready.model.state_dict()}


def fill(ready: Ready, saved: Weights, path: Path) -> None:
    """Put all weights of a file into a model that was built like the exported one; RunError if they do not fit."""
    current = weights_of(ready)
    missing = compare(saved, current).not_in_file  # without those that two modules share, of which a file has one
    refuse_other_model(path, saved, {name: current[name] for name in current if name in {*missing, *saved}})
    for name, tensor in saved.items():
        current[name].copy_(tensor)
