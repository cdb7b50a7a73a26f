"""What is taken from a run that may be somebody else's: neither its settings of Trainer and data, nor its links."""

import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytorch_lightning as pl
from torch import nn

from ..devices.ranks import is_first_process
from ..errors import RunError
from ..saving.runs import CONFIG, Runs


def flags_of(run: Path, settings: dict[str, Any], runs: Runs, model: type[pl.LightningModule]) -> list[str]:
    """Flags with the settings that a command takes from the run whose weights it uses.

    Callbacks, profilers and data may write files, wherever their settings say. So a run that lies elsewhere than all
    others gives the settings of its modules alone, without which its weights would not fit.

    Args:
        run: the run's folder.
        settings: those that the run has kept.
        runs: the folder of all runs.
        model: the Model, which has an argument for each of its modules.
    """
    if run.parent.resolve() == runs.folder.resolve():
        return ["--config", str(run / CONFIG)]
    kept = settings.get("model") or {}
    modules = [name for name in modules_of(model) if isinstance(kept.get(name), dict)]
    if is_first_process():
        taken = f"the settings of {' and '.join(modules)} alone" if modules else "no settings"
        print(f"{run} lies outside {runs.folder}: takes {taken}; --runs {run.parent} takes all", file=sys.stderr)
    return [f"--model.{name}={json.dumps(kept[name])}" for name in modules]


def modules_of(model: type[pl.LightningModule]) -> list[str]:
    """The arguments of a Model that are modules, as its network and objective are."""
    kinds = get_type_hints(model.__init__)
    arguments = inspect.signature(model).parameters
    return [name for name in arguments if inspect.isclass(kinds.get(name)) and issubclass(kinds[name], nn.Module)]


def refuse_links(run: Path) -> None:
    """Raise RunError for a link that leads out of a run's folder: what a command writes would land there."""
    for folder, folders, files in os.walk(run):
        if Path(folder).parent == run / "wandb":  # W&B links its own log, in folders that it writes only once
            folders.clear()
            continue
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(run.resolve()):
                raise RunError(f"{path} is a link out of the run's folder: nothing is written through it", "rm it")
