"""What to try when a training is slow, in a line."""

import inspect
import os

import pytorch_lightning as pl
import torch

from ..training.bench import Step
from ..training.callbacks import Compile
from .project import Project
from .trainer_callbacks import callback_of

WORTH_IT = 0.25  # share of a step from which on something is worth a change, whatever the rest is
WORTH_A_WORKER = 0.001  # seconds; for less, a worker costs more than it brings
BUSY = 0.9  # share of the time from which on Python is what a device waits for


def advice(step: Step, trainer: pl.Trainer, project: Project) -> str:
    """What takes longest of that which could take less, and what to try."""
    parts = step.parts
    takes = {
        loader: parts["data"],
        transfer: parts["transfer"],
        optimizer: parts["optimizer"],
        metrics: parts["logging"],
        python: step.rest,
        between: step.between or 0.0,
    }
    if trainer.strategy.root_device.type != "cpu" and step.host > BUSY:
        takes[python] += step.compute
    if trainer.num_training_batches == 1:  # each step ends an epoch
        takes[between] += takes.pop(python)
    most = max(takes, key=lambda kind: takes[kind])
    is_computing = parts["forward"] + parts["backward"] > step.total / 2
    is_worth_it = takes[most] > WORTH_IT * step.total or not is_computing
    return (most if is_worth_it else compute)(step, trainer, project)


def loader(step: Step, trainer: pl.Trainer, project: Project) -> str:
    if step.workers:
        return f"loader-bound: more workers than {step.workers}, or less work for each sample"
    if step.parts["data"] < WORTH_A_WORKER:
        return f"loader-bound: {larger_batches(trainer, project)}, or less work for each sample"
    flag = f"--data.num_workers {min(cores(), 4)}" if takes_setting(project, "num_workers") else "more workers"
    return f"loader-bound: {flag}, or less work for each sample"


def transfer(step: Step, trainer: pl.Trainer, project: Project) -> str:
    return "transfer-bound: less in on_after_batch_transfer, pin_memory in the loader"


def optimizer(step: Step, trainer: pl.Trainer, project: Project) -> str:
    slow = trainer.optimizers[0]
    fused = f", or {type(slow).__name__} with fused: true" if slow.defaults.get("fused", True) is None else ""
    return f"optimizer-bound: {larger_batches(trainer, project)}{fused}"


def metrics(step: Step, trainer: pl.Trainer, project: Project) -> str:
    return "bound by metrics: fewer in training, or log() less often"


def python(step: Step, trainer: pl.Trainer, project: Project) -> str:
    is_compiled = callback_of(trainer, Compile) or trainer.strategy.root_device.type == "cpu"
    return f"Python-bound: {larger_batches(trainer, project)}" + preset(project, "compile", not is_compiled)


def between(step: Step, trainer: pl.Trainer, project: Project) -> str:
    if step.validation > ((step.between or 0.0) + step.rest) / 4:
        return "bound by validation: --trainer.check_val_every_n_epoch 5"
    if step.workers:
        return "bound by ends of epochs: persistent_workers=True in the loader"
    return "bound by ends of epochs: longer ones, or fewer checkpoints"


def compute(step: Step, trainer: pl.Trainer, project: Project) -> str:
    if trainer.strategy.root_device.type == "cpu":
        threads = torch.get_num_threads()
        more = f"{cores()} threads instead of {threads} (OMP_NUM_THREADS), or " if threads < cores() else ""
        return f"compute-bound: {more}a GPU"
    is_low = "16" in str(trainer.precision)
    faster = preset(project, "bf16", not is_low) + preset(project, "compile", not callback_of(trainer, Compile))
    return f"compute-bound: more devices, or faster ones{faster}"


def preset(project: Project, name: str, is_wanted: bool) -> str:
    return f", or --preset {name}" if is_wanted and name in project.presets else ""


def larger_batches(trainer: pl.Trainer, project: Project) -> str:
    size = getattr(trainer.datamodule, "batch_size", None)  # type: ignore[attr-defined] # the command line's
    if isinstance(size, int) and takes_setting(project, "batch_size"):
        return f"--data.batch_size {4 * size}"
    return "larger batches"


def takes_setting(project: Project, name: str) -> bool:
    return name in inspect.signature(project.load_parts().data).parameters


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
