"""A trained model, ready to use: built from the settings and the weights of a run or an export. Runs no code of theirs.

A run may be somebody else's. Of its settings, those of the model and the data are taken, which name nothing but what
the package's ALLOWED allows; of its data nothing is prepared or read but what `preprocessing` needs.
"""

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from pytorch_lightning.cli import instantiate_module
from torch import nn

from ..errors import RunError
from ..saving import checkpoints, weights
from ..saving.atomic import restore_previous
from ..saving.ready import Ready, answers_of, fill, in_one_line
from ..saving.runs import CHECKPOINTS, CONFIG, is_run, kept_in, refuse_address
from ..saving.secrets import without_secrets
from . import configurations, manifest
from .bounds import flags_in_full
from .mistakes import Parser, shorten
from .older import code_of, report_changed_code, what_to_try
from .project import Parts, Project
from .settings import folder_flags

# Of an exported folder: its settings, and its weights. A run's are config.yaml and checkpoints.
SETTINGS = "settings.yaml"
WEIGHTS = "model.safetensors"
Settings = dict[str, Any]


class Loaded(NamedTuple):
    """A trained model, with what it was loaded from.

    Args:
        ready: the model, in eval mode, with the DataModule to which its preprocessing belongs.
        settings: the sections `model` and `data` of its settings, without secrets.
        path: the file with its weights.
    """

    ready: Ready
    settings: Settings
    path: Path


def load(source: str | os.PathLike[str], project: Project) -> Loaded:
    """Load the model of a run folder (its best checkpoint, or its last), a checkpoint in one, or an exported folder.

    Raises:
        RunError: if there is none, if it does not fit the code, or if the front lacks a method that it needs.
    """
    refuse_address("load", os.fspath(source))
    file, path = find(Path(source), project.program)
    parts = project.load_parts()
    settings = settings_in(file, project, parts)
    model, data = build(file, settings, parts)
    ready = Ready(preprocessing_of(data), model, data)
    refuse_without_answers(model)
    if path.suffix == ".safetensors":
        fill(ready, weights.read(path), path)
    else:
        saved = checkpoints.read_in_full(path)
        checkpoints.refuse_incomplete(path, saved, checkpoints.WEIGHTS)
        checkpoints.refuse_other_model(path, saved["state_dict"], model.state_dict(), what_to_try(file.parent))
        model.on_load_checkpoint(saved)
        model.load_state_dict(saved["state_dict"])
    ready.eval().requires_grad_(False)  # also what a model has built only when it saw its checkpoint
    kept = code_of(file.parent) if file.name == CONFIG else configurations.read(file).get("code")
    report_changed_code(file.parent.name, kept)
    return Loaded(ready, without_secrets(settings), path)


def find(source: Path, program: str) -> tuple[Path, Path]:
    """The file with the settings and the one with the weights."""
    restore_previous(source)
    if not os.path.lexists(source):
        raise RunError(f"there is no run, checkpoint or exported folder {source.absolute()}")
    if (source / SETTINGS).is_file():
        if not (source / WEIGHTS).is_file():
            hint = f"{program} export --format safetensors"
            raise RunError(f"{source} was exported without {WEIGHTS}, which load reads", hint)
        return source / SETTINGS, source / WEIGHTS
    if is_run(source):
        path = kept_in(source)
        if path is None:
            hint = f"fit --run {source.name}, which goes on until it has one"
            raise RunError(f"run {source.name} has no checkpoint yet", hint)
        return source / CONFIG, path
    run = source.absolute().parent.parent
    if source.absolute().parent.name != CHECKPOINTS or not is_run(run):
        wanted = f"a run, an exported folder, or a checkpoint in the folder {CHECKPOINTS} of a run"
        raise RunError(f"{source} is none of what load can take: {wanted}, whose {CONFIG} says how to build the model")
    return run / CONFIG, source


def settings_in(file: Path, project: Project, parts: Parts) -> Settings:
    """The sections `model` and `data` of a file, and of default.yaml what the code has gained since."""
    if file.name == CONFIG:
        manifest.refuse_newer(file.parent)
    own, default = configurations.read(file), configurations.read(project.default_config)
    settings: Settings = filled(own, default)
    for folder in folder_flags(project, parts)[1:]:
        settings["data"]["folder"] = folder
    return {section: settings.get(section) or {} for section in ("model", "data")}


def filled(own: Any, default: Any) -> Any:
    """Own settings, with defaults where there are none; the arguments of a class are its own alone."""
    if not isinstance(own, dict) or not isinstance(default, dict) or "class_path" in own:
        return own
    return {**default, **{name: filled(value, default.get(name)) for name, value in own.items()}}


def build(file: Path, settings: Settings, parts: Parts) -> tuple[pl.LightningModule, pl.LightningDataModule]:
    """The Model and the DataModule that a file's settings describe; RunError if the code cannot take them."""
    parser = Parser(exit_on_error=False)
    parser.add_lightning_class_args(parts.model, "model")
    parser.add_lightning_class_args(parts.data, "data")
    try:
        config = parser.parse_object(settings)
        with flags_in_full(lambda: config), warnings.catch_warnings():  # Lightning's, of hyperparameters
            warnings.simplefilter("ignore")
            model = instantiate_module(parts.model, config.model.as_dict())
            data = instantiate_module(parts.data, config.data.as_dict())
    except (ImportError, RunError, TypeError, ValueError) as error:
        raise RunError(f"{file} does not fit the code: {shorten(str(error))}", what_to_try(file.parent)) from error
    model.configure_model()
    return model, data


def preprocessing_of(data: Any) -> nn.Module:
    """What `preprocessing` in data.py returns; RunError if there is none, or if it is no module."""
    hint = "a method preprocessing() there, which returns an nn.Module; nn.Identity() if nothing is to be done"
    if not hasattr(data, "preprocessing"):
        raise RunError("data.py does not say how raw inputs become those that the model was trained on", hint)
    with in_one_line("preprocessing() in data.py failed, for which neither prepare_data nor setup is called"):
        preprocessing = data.preprocessing()
    if not isinstance(preprocessing, nn.Module):
        raise RunError(f"preprocessing() in data.py returned {type(preprocessing).__name__}, no nn.Module", hint)
    return preprocessing


def refuse_without_answers(model: pl.LightningModule) -> None:
    if answers_of(model) is None:
        file = "objective.py" if hasattr(model, "objective") else "model.py"
        hint = "a method answers(outputs) there, which returns {name: tensor with an entry for each sample}"
        raise RunError(f"{file} does not say what the outputs are called", hint)
