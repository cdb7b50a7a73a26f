"""What the package offers to Python, and what a configuration or a checkpoint may name from its first import on."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import set_parsing_settings

if TYPE_CHECKING:  # importing torch takes seconds, which `--help` does without
    from .engine.saving.ready import Ready

# Class paths are imported and called. These hold what a run is built from, and nothing that runs a given command or
# file; for a package of your own, add its name.
ALLOWED = [
    __name__,
    "lightning_fabric.plugins",
    "pytorch_lightning.accelerators",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.cli.ReduceLROnPlateau",
    "pytorch_lightning.loggers",
    "pytorch_lightning.plugins",
    "pytorch_lightning.profilers",
    "pytorch_lightning.strategies",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
]
set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=ALLOWED)


def load(source: str | PathLike[str]) -> "Ready":
    """A trained model, ready for raw inputs: `load("runs/first")(inputs)` is {name: an entry for each input}.

    Its attribute `model` is the Model, and `data` the DataModule of the training, of which nothing has been prepared.

    Args:
        source: a run folder (of which the best checkpoint is taken), a checkpoint in one, or an exported folder.

    Raises:
        RunError: if there is no such model, or if it does not fit the code any more.
    """
    from .__main__ import project
    from .engine.command.load import load

    return load(source, project()).ready


def newest_run() -> Path:
    """The folder of the newest run, which `test` and `predict` use too.

    Raises:
        RunError: if there is none yet.
    """
    from .__main__ import project
    from .engine.command.choice import newest_run

    return newest_run(project())
