"""Follows a training for its summary.json: how far it is, its metrics, how long it takes, and how it ended."""

import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pytorch_lightning as pl
import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from ..errors import Stopped
from ..saving import summary
from ..saving.runs import is_run
from ..saving.secrets import masked_line
from .status import callbacks_of

SECONDS = 1.0  # between two summaries, unless a better checkpoint has been saved
LONGEST_REASON = 300


class RunSummary(pl.Callback):
    """Keeps the summary of a run.

    Args:
        text: config.yaml, as it is kept.
        default: the same for a training that nobody has told anything.
    """

    def __init__(self, text: str, default: str) -> None:
        settings, defaults = (summary.flat_values(yaml.safe_load(one)) for one in (text, default))
        changed = {name for name, value in settings.items() if (value or None) != (defaults.get(name) or None)}
        self.settings = {
            "config": summary.fingerprint(text.encode()),
            "settings": settings,
            "defaults": {name: defaults.get(name) for name in sorted(changed)},  # of those that differ from them
        }
        self.values: dict[str, Any] = {}
        self._run = Path()
        self._reason = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._run = Path(trainer.default_root_dir)
        before = summary.read(self._run) if is_run(self._run) and trainer.global_step else {}
        self._seconds_before = seconds if isinstance(seconds := before.get("seconds"), int | float) else 0.0
        self._begun = self._written = time.monotonic()
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self.values = {"state": summary.RUNNING, "started": before.get("started", now), "begun": now}
        self.values["git"] = summary.read_json(self._run / "manifest.json").get("git")
        self.values |= {name: before[name] for name in ("best", "metrics") if name in before}
        self._keep(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.values and not trainer.sanity_checking and time.monotonic() - self._written > SECONDS:
            self._keep(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.values:
            self._keep(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.values:
            stopping = [one for one in callbacks_of(trainer) if isinstance(one, EarlyStopping)]
            self._reason = next((one.stopping_reason_message or "" for one in stopping), "")
            self._keep(trainer)

    def end(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say how the training ended. Called once its checkpoints are on the disk, since a kill may come until then."""
        if not self.values:
            return
        if error is None:
            self.values |= {"state": summary.FINISHED, "reason": in_a_line(self._reason)}
        elif isinstance(error, Stopped | KeyboardInterrupt | SystemExit):
            self.values |= {"state": summary.STOPPED, "reason": in_a_line(str(error))}
        else:
            self.values |= {"state": summary.FAILED, "reason": in_a_line(f"{type(error).__name__}: {error}")}
        self._write()

    def _keep(self, trainer: pl.Trainer) -> None:
        self.values |= {"epoch": trainer.current_epoch, "step": trainer.global_step}
        metrics = {str(name): value.item() for name, value in trainer.callback_metrics.items()}
        measured = {name: value for name, value in metrics.items() if not name.startswith(("train/", "lr-"))}
        best = best_of(trainer)
        if best is None:
            self.values["metrics"] = measured
        elif best != self.values.get("best"):
            self.values |= {"best": best, "metrics": {**measured, best["metric"]: best["value"]}}
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        self.values["seconds"] = round(self._seconds_before + self._written - self._begun, 3)
        self.values["updated"] = datetime.now().astimezone().isoformat(timespec="seconds")
        summary.write(self._run, {**self.values, **self.settings})


def best_of(trainer: pl.Trainer) -> dict[str, Any] | None:
    """The best value of the metric by which checkpoints are chosen; None if there is no such metric, or no value."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_score is not None:
            value = callback.best_model_score.item()
            return {"metric": callback.monitor, "mode": callback.mode, "value": value}
    return None


def in_a_line(reason: str) -> str:
    """What a library says of an error may be long, and hold a login."""
    return masked_line(" ".join(reason.removesuffix(" Signaling Trainer to stop.").split())[:LONGEST_REASON])


def note_finished(run: Path) -> None:
    """Have the summary of a training that came to its end say so, if it was killed before it could."""
    values = summary.read(run)
    if values and values.get("state") != summary.FINISHED:
        summary.write(run, {**values, "state": summary.FINISHED})
