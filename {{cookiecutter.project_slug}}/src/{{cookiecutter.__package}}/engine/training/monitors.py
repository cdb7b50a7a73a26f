"""Refuses to watch a metric that several sets have each for itself, before a training is spent on it."""

from collections.abc import Iterator

import pytorch_lightning as pl

from ..errors import RunError
from .callbacks import SECTIONS
from .loop_state import logged_names


class CheckMonitors(pl.Callback):
    """Looks at what the first validation logs, which comes before the training unless that is resumed."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        logged = logged_names(trainer)
        hints = []
        for setting, monitor in monitors(trainer):
            stage, _, metric = monitor.partition("/")
            of_sets = [name for name in logged if name.startswith(f"{stage}/") and name.endswith(f"/{metric}")]
            if of_sets and monitor not in logged:
                hints.append((monitor, f"{setting} {min(of_sets)}"))
        if hints:
            names = ", ".join(sorted(name for name in logged if "/" in name))
            flags = " ".join(flag for _, flag in hints)
            raise RunError(f"{hints[0][0]} is monitored, and validation has several sets: there are {names}", flags)


def monitors(trainer: pl.Trainer) -> Iterator[tuple[str, str]]:
    """Each setting that names a metric to watch, and the metric."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined] # one of Lightning's connectors sets it
        sections = [f"--{name}" for name, kind in SECTIONS.items() if isinstance(callback, kind)]
        if monitor := getattr(callback, "monitor", None):
            yield f"{(sections or [type(callback).__name__])[0]}.monitor", monitor
    for schedule in trainer.lr_scheduler_configs:
        if schedule.reduce_on_plateau and schedule.monitor:
            yield "--model.lr_scheduler.init_args.monitor", schedule.monitor
