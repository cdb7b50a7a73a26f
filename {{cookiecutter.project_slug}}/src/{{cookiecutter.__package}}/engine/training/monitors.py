"""Metrics that are watched: refused before the training if they do not exist, left out if no validation comes."""

import difflib
import math
import sys
from collections.abc import Iterator

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from ..errors import RunError
from .callbacks import SECTIONS
from .loop_state import logged_names

VALIDATION = "val"  # with which the names of its metrics begin


class CheckMonitors(pl.Callback):
    """Looks at what the first validation logs, which comes before the training unless that is resumed."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        logged = logged_names(trainer)
        validated = sorted(name for name in logged if name.startswith(VALIDATION))
        if not validated:  # some models log nothing before the training
            return
        hints = []
        for setting, monitor in monitors(trainer):
            stage, _, metric = monitor.partition("/")
            of_sets = [name for name in validated if name.startswith(f"{stage}/") and name.endswith(f"/{metric}")]
            if monitor.startswith(VALIDATION) and monitor not in logged:
                nearest = difflib.get_close_matches(monitor, validated, n=1, cutoff=0)
                hints.append((monitor, f"{setting} {min(of_sets or nearest)}", bool(of_sets)))
        if hints:
            monitor, _, has_sets = hints[0]
            why = "validation has several sets" if has_sets else "not logged"
            flags = " ".join(flag for _, flag, _ in hints)
            raise RunError(f"{monitor} is monitored, and {why}: there are {', '.join(validated)}", flags)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if comes_to_validation(trainer):
            return
        callbacks = trainer.callbacks  # type: ignore[attr-defined] # one of Lightning's connectors sets it
        waiting = [one for one in callbacks if isinstance(one, EarlyStopping | ModelCheckpoint)]
        waiting = [one for one in waiting if str(one.monitor).startswith(VALIDATION)]
        trainer.callbacks = [one for one in callbacks if one not in waiting]  # type: ignore[attr-defined]
        if waiting and trainer.is_global_zero:
            names = " and ".join(f"{type(one).__name__} of {one.monitor}" for one in waiting)
            print(f"This training has no validation, so it goes without {names}", file=sys.stderr)


def comes_to_validation(trainer: pl.Trainer) -> bool:
    """Whether there is a validation before a training reaches its last epoch or step."""
    if not trainer.enable_validation or not any(trainer.num_val_batches):
        return False
    batches, every = trainer.num_training_batches, trainer.val_check_batch
    if every is None or math.inf in (batches, every):  # by the clock, or at the end of a loader without a length
        return True
    epochs_before = (trainer.check_val_every_n_epoch or 1) - 1
    first = epochs_before * batches + every
    last = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs * batches
    if trainer.max_steps != -1 and trainer.lightning_module.automatic_optimization:
        # The last batches of an epoch make a step, however few they are.
        full_epochs, steps = divmod(trainer.max_steps, math.ceil(batches / trainer.accumulate_grad_batches))
        last = min(last, full_epochs * batches + steps * trainer.accumulate_grad_batches)
    return first <= last


def monitors(trainer: pl.Trainer) -> Iterator[tuple[str, str]]:
    """Each setting that names a metric to watch, and the metric."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined] # one of Lightning's connectors sets it
        sections = [f"--{name}" for name, kind in SECTIONS.items() if isinstance(callback, kind)]
        if monitor := getattr(callback, "monitor", None):
            yield f"{(sections or [type(callback).__name__])[0]}.monitor", monitor
    for schedule in trainer.lr_scheduler_configs:
        if schedule.reduce_on_plateau and schedule.monitor:
            yield "--model.lr_scheduler.init_args.monitor", schedule.monitor
