"""Ready: a trained model with all that belongs to it, from raw inputs to named answers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ..errors import RunError
from .checkpoints import refuse_other_model
from .nested import outputs_of, samples_in
from .weights import PREPROCESSING, Weights, compare


class Ready(nn.Module):
    """Answers for raw inputs: (batch, ...) -> {name: (batch, ...)}. In eval mode, and without gradients.

    Args:
        preprocessing: from inputs as users have them to those that the model was trained on.
        model: a trained model that has `answers`, or whose objective has.
        data: the DataModule of its training, of which nothing has been prepared.
    """

    def __init__(self, preprocessing: nn.Module, model: pl.LightningModule, data: pl.LightningDataModule) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.model = model
        self.data = data
        self.eval().requires_grad_(False)

    def forward(self, inputs: Any) -> dict[str, Tensor]:
        answers: Any = answers_of(self.model)
        named = answers(outputs_of(self.model, self.preprocessing(inputs)))
        if not torch.compiler.is_compiling():  # an exported model has been checked
            refuse_other_entries(named, samples_in(inputs))
        return named


def answers_of(model: pl.LightningModule) -> Callable[[Any], dict[str, Any]] | None:
    """The method `answers` of a model or of its objective, from what `forward` returns to named answers."""
    owners: list[Any] = [model, getattr(model, "objective", None)]
    return next((owner.answers for owner in owners if hasattr(owner, "answers")), None)


def refuse_other_entries(answers: Any, samples: int) -> None:
    """Raise RunError unless these are named answers with an entry for each sample, such as one to a batch of one."""
    if not isinstance(answers, Mapping) or not answers:
        raise RunError(f"answers returned {type(answers).__name__}", "a dict of tensors with an entry for each sample")
    for name, answer in answers.items():
        entries = len(answer) if isinstance(answer, list) or (isinstance(answer, Tensor) and answer.ndim) else None
        if entries != samples:
            what = f"{name!r} for a batch of {samples}, which is no tensor with {samples} entries"
            raise RunError(f"answers gives {what}", "keep the dimension of the batch, also in a batch of one")


@contextmanager
def in_one_line(what: str, hint: str = "--traceback, which shows where") -> Iterator[None]:
    """Say in one line that a method in front or a library failed: there are hundreds of reasons, each with a page."""
    try:
        yield
    except (OSError, RunError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise RunError(f"{what}: {reason_of(error)}", hint) from error


def reason_of(error: BaseException) -> str:
    """The first line of what an error began with: libraries wrap it in others, with pages of text."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"[:300]


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
