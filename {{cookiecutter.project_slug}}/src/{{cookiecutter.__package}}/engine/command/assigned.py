"""`fit`, `validate` and `test` as processes of `sweep` and `repeat`, and the look at settings before the first one."""

import importlib
import inspect
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning
from jsonargparse import Namespace
from pytorch_lightning.accelerators import CUDAAccelerator
from pytorch_lightning.cli import LightningArgumentParser

from ..devices.launch import end_with, refuse_missing_hardware, refuse_missing_processes
from ..devices.ranks import is_first_process
from ..errors import BadSetting, RunError
from ..saving.atomic import write_text
from ..saving.lock import FILE as LOCK
from ..saving.lock import locked
from ..search import library
from ..search.assignment import PARENT, VARIABLE, Assignment
from ..search.following import CheckMetric, FollowTrial
from ..search.storage import open_storage
from .arguments import expand_presets, split_run_flags
from .bounds import flags_in_full, refuse_out_of_bounds
from .choice import choose
from .mistakes import in_constructor, parse
from .project import Parts, Project
from .run_config import settings_of
from .settings import folder_flags, training_parser
from .stages import run_stage

PATIENCE = 30  # seconds in which the process of a killed command is expected to end


def preload(project: Project, modules: Sequence[str]) -> None:
    """Import what each run needs, and these modules."""
    for module in ("matplotlib.pyplot", *modules):
        importlib.import_module(module)
    project.load_parts()


def main(args: list[str], project: Project) -> None:
    assignment = Assignment.of_text(project.environment(VARIABLE) or "")
    if is_first_process():
        parent = int(project.environment(PARENT) or 0)
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    if assignment.probes:
        return probe(assignment, project)
    run_flags, _ = split_run_flags(args[1:], project)
    if is_first_process() and args[0] == "fit":
        wait_until_free(run_flags.runs / str(run_flags.run))
    callbacks = [*project.callbacks, *callbacks_of(assignment, run_flags.runs)]
    run_stage(choose(args, project), args, replace(project, callbacks=callbacks))


def callbacks_of(assignment: Assignment, folder: Path) -> list[pl.Callback]:
    """What reports a trial to its sweep, or sees whether it could; nothing for a run of `repeat`."""
    if not assignment.metric:
        return []
    if assignment.number is None:
        return [CheckMetric(assignment.metric)]
    study = None
    if is_first_process():
        storage = open_storage(assignment.storage, folder)
        study = library.optuna().load_study(study_name=assignment.study, storage=storage)
    return [FollowTrial(assignment, study)]


def wait_until_free(run: Path) -> None:
    """Wait for the process that still trains a run after its command was killed, and end it if it does not end."""
    begun = time.monotonic()
    has_told = False
    while True:
        try:
            with locked(run):
                return
        except RunError as held:
            if not has_told:
                print(f"Waits: {held}", file=sys.stderr)
                has_told = True
        if time.monotonic() - begun > PATIENCE:
            end_holder(run)
        time.sleep(0.1)


def end_holder(run: Path) -> None:
    with suppress(OSError, ValueError, KeyError):
        holder = json.loads((run / LOCK).read_text(encoding="utf-8"))
        if holder["host"] == socket.gethostname() and holder["process"] != os.getpid():
            os.kill(holder["process"], signal.SIGKILL)


def probe(assignment: Assignment, project: Project) -> None:
    """Look at settings without training, and write down what has to be known of them.

    Of a sweep, each bound and each choice has to be a value that the setting can have.
    """
    parts = project.load_parts()
    refuse_missing_arguments(parts, assignment.needs)
    parser = training_parser(project, parts, "fit")
    found: dict[str, Any] = {"processes": 1, "gpus": 0, "keeps_best": True, "settings": {}}
    found["measures"] = measures_of(parts)
    for flags in assignment.probes:
        config = parse(parser, [*folder_flags(project, parts), *expand_presets(flags, project.presets)])
        refuse_out_of_bounds(config, "fit")
        refuse_missing_hardware(config.trainer)
        refuse_missing_processes(config.trainer)
        found["settings"] = found["settings"] or yaml.safe_load(settings_of(parser, config)[1])
        trainer = trainer_of(build(parser, config), config)
        found["processes"] = max(found["processes"], trainer.num_devices * trainer.num_nodes)
        found["keeps_best"] = bool(found["keeps_best"] and config.best_checkpoint is not None)
        if isinstance(trainer.accelerator, CUDAAccelerator):
            found["gpus"] = torch.cuda.device_count()
    write_text(Path(str(assignment.result)), json.dumps(found, default=str))


def refuse_missing_arguments(parts: Parts, needed: Sequence[str]) -> None:
    known = inspect.signature(parts.data).parameters
    if absent := [name for name in needed if name not in known]:
        hint = "give it fold and folds, as docs/search.md says; or --seeds"
        raise RunError(f"the DataModule in data.py has no argument {absent[0]}", hint)


def measures_of(parts: Parts) -> list[str]:
    """Those of the commands `validate` and `test` for which the model has a step and the data a loader."""
    members = {"validate": ("validation_step", "val_dataloader"), "test": ("test_step", "test_dataloader")}
    return [
        stage
        for stage, (step, loader) in members.items()
        if getattr(parts.model, step) is not getattr(pl.LightningModule, step)
        and getattr(parts.data, loader) is not getattr(pl.LightningDataModule, loader)
    ]


def build(parser: LightningArgumentParser, config: Namespace) -> Namespace:
    """What the settings describe, with weights that have no values; RunError if a class refuses them."""
    try:
        with flags_in_full(lambda: config), torch.device("meta"):
            return parser.instantiate_classes(config)
    except ValueError as error:
        if isinstance(error.__cause__, BadSetting):
            raise error.__cause__ from error
        raise RunError(in_constructor(str(error))) from error
    except (NotImplementedError, RuntimeError):  # of a network that looks at its values while it is built
        return config


def trainer_of(built: Namespace, config: Namespace) -> pl.Trainer:
    """A Trainer that knows on how many devices it would train."""
    strategy = built.trainer.strategy
    return pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        num_nodes=config.trainer.num_nodes,
        strategy="auto" if isinstance(strategy, Namespace) else strategy,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
