"""How far a command is: what of it is shown, and when. display.py shows it."""

import math
import re
import time
from typing import Any, TypeGuard, final

import pytorch_lightning as pl
from pytorch_lightning import callbacks
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from torch import Tensor

from ..errors import RunError, require
from .display import Bar, Display, Lines, Status, is_terminal
from .loop_state import completed_batches, metrics_of_step
from .pace import Pace


@final
class ProgressBar(callbacks.ProgressBar):
    """A bar in a terminal; elsewhere a line at each validation, and from time to time. Only the first process shows it.

    A metric is read from its device when it is shown and not earlier, so that no step waits for it.

    Args:
        refresh_rate: how many times a second the bar is drawn.
        leave: whether the bar stays in the terminal when the command ends.
        theme: the colours of the bar, and the format of metrics.
        console_kwargs: settings of rich's Console, on which the bar is drawn.
        every_n_seconds: the longest time between two lines where there is no terminal.

    Raises:
        RunError: for a rate that is not positive, or a time that is negative.
    """

    def __init__(
        self,
        refresh_rate: float = 4.0,
        leave: bool = False,
        theme: RichProgressBarTheme = RichProgressBarTheme(),  # noqa: B008 # as Lightning's own has it
        console_kwargs: dict[str, Any] | None = None,
        every_n_seconds: float = 30.0,
    ) -> None:
        super().__init__()
        if refresh_rate <= 0:
            hint = "--trainer.enable_progress_bar false, for none"
            raise RunError(f"--progress_bar.refresh_rate is {refresh_rate}, and has to be positive", hint)
        require(every_n_seconds=every_n_seconds, at_least=0)
        self._display: Display = Bar(theme, leave, console_kwargs) if is_terminal() else Lines(theme)
        self._seconds = every_n_seconds if isinstance(self._display, Lines) else 1 / refresh_rate
        self._is_enabled = True

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._place = self._place_shown = (trainer.current_epoch, completed_batches(trainer))
        self._start(trainer, training_status(trainer, *self._place).done)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._is_enabled:
            self._place = (trainer.current_epoch, batch_idx + 1)
            self._pace.count(batch)
            if self._is_due():
                self._show_training(trainer, outputs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Later, Lightning has forgotten the metrics of the last step, and has said why the training ends.
        if self._is_enabled and is_last_epoch(trainer):
            if self._place != self._place_shown:
                self._show_training(trainer)
            self._display.close()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not is_fit(trainer):
            self._start(trainer, 0.0)
        elif self._is_enabled and not trainer.sanity_checking:
            self._pace.pause()
            self._batches = 0
            self._metrics_before = dict(trainer.callback_metrics)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if not trainer.sanity_checking:
            self._evaluate(trainer, batch, sum(trainer.num_val_batches))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_enabled and is_fit(trainer) and not trainer.sanity_checking:
            metrics = trainer.callback_metrics.items()
            new = {name: value for name, value in metrics if value is not self._metrics_before.get(name)}
            self._show_training(trainer, measured={name: value.item() for name, value in new.items()})
            self._pace.go_on()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer, 0.0)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self._evaluate(trainer, batch, sum(trainer.num_test_batches))

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer, 0.0)

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self._evaluate(trainer, batch, sum(trainer.num_predict_batches))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._display.close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._display.close()

    def _start(self, trainer: pl.Trainer, done: float | None) -> None:
        self._batches = 0
        self._pace: Pace = Pace(trainer.world_size, done)
        self._now = time.monotonic()
        self._due = self._now + self._seconds

    def _is_due(self) -> bool:
        """Whether the next batch would end too late, if it takes as long as this one."""
        before, self._now = self._now, time.monotonic()
        return 2 * self._now - before > self._due

    def _evaluate(self, trainer: pl.Trainer, batch: Any, total: float) -> None:
        """Count a batch of an evaluation that has so many in all its sets together."""
        if not self._is_enabled:
            return
        self._batches += 1
        if not is_fit(trainer):
            self._pace.count(batch)
        if self._is_due():
            place, done = place_in("batch", self._batches, total), self._batches / total
            if is_fit(trainer):
                self._show(Status([*training_status(trainer, *self._place).places, f"validation {place}"], done))
            else:
                self._show(Status([place], done, rate=self._pace.rate(), left=min(self._pace.left(done), default=None)))

    def _show_training(
        self, trainer: pl.Trainer, outputs: Any = None, measured: dict[str, float] | None = None
    ) -> None:
        self._place_shown = self._place
        status = training_status(trainer, *self._place)
        status.values = without_copies(metrics_of_step(trainer)) or loss_of(outputs)
        status.measured = without_copies(measured or {})
        status.rate = self._pace.rate()
        status.left = min([*self._pace.left(status.done), *seconds_of(trainer)], default=None)
        self._show(status)

    def _show(self, status: Status) -> None:
        self._display.show(status)
        self._due = time.monotonic() + self._seconds


def training_status(trainer: pl.Trainer, epoch: int, batches: int) -> Status:
    """Where a training is, after so many batches of an epoch. Steps are those of optimizers, as in `max_steps`."""
    of_epoch = trainer.num_training_batches  # infinite where a loader has no length
    epochs = epoch + batches / of_epoch
    shares = [trainer.global_step / trainer.max_steps] if is_limit(trainer.max_steps) else []
    if is_limit(trainer.max_epochs) and is_limit(of_epoch):
        shares.append(epochs / trainer.max_epochs)
    places = [
        place_in("epoch", f"{epochs:.2f}" if is_limit(of_epoch) else epoch, trainer.max_epochs),
        place_in("step", trainer.global_step, steps_of(trainer)),
    ]
    return Status(places, max(shares, default=None))


def steps_of(trainer: pl.Trainer) -> float:
    """How many optimizer steps the training has, if that is known; else infinite, or -1."""
    schedules = [one for one in callbacks_of(trainer) if isinstance(one, callbacks.GradientAccumulationScheduler)]
    if trainer.lightning_module.automatic_optimization and all(one.epochs == [0] for one in schedules):
        return trainer.estimated_stepping_batches
    return trainer.max_steps  # a batch may have several steps or none, or another number of them in each epoch


def seconds_of(trainer: pl.Trainer) -> list[float]:
    """How long the training may still take, if its time is limited."""
    timers = [one for one in callbacks_of(trainer) if isinstance(one, callbacks.Timer)]
    return [seconds for timer in timers if (seconds := timer.time_remaining()) is not None]


def callbacks_of(trainer: pl.Trainer) -> list[pl.Callback]:
    return trainer.callbacks  # type: ignore[attr-defined] # one of Lightning's connectors sets it


def place_in(unit: str, number: object, total: float | None) -> str:
    return f"{unit} {number} of {total}" if is_limit(total) else f"{unit} {number}"


def is_limit(number: float | None) -> TypeGuard[float]:
    """Whether a number of the Trainer's limits something: it has None, -1 and infinity for those that do not."""
    return number is not None and 0 < number < math.inf


def is_fit(trainer: pl.Trainer) -> bool:
    return trainer.state.fn == "fit"


def is_last_epoch(trainer: pl.Trainer) -> bool:
    ends = trainer.current_epoch + 1 == trainer.max_epochs or trainer.global_step == trainer.max_steps
    return ends or trainer.should_stop


def loss_of(outputs: Any) -> dict[str, float]:
    """The loss that a training step has returned, if it has."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return {"loss": loss.item()} if isinstance(loss, Tensor) else {}


def without_copies(metrics: dict[str, float]) -> dict[str, float]:
    """Without those that Lightning adds as NAME_step and NAME_epoch beside NAME."""
    originals = {name: re.sub(r"_(step|epoch)(?=(/dataloader_idx_\d+)?$)", "", name) for name in metrics}
    return {name: metrics[name] for name, original in originals.items() if original == name or original not in metrics}
