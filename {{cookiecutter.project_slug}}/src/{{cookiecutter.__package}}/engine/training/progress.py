"""How far a command is: what of it is shown, and when. display.py shows it."""

import re
import time
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning import callbacks
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from torch import Tensor

from ..errors import RunError, require
from .display import Bar, Display, Lines, Status, is_terminal
from .loop_state import completed_batches, metrics_of_step
from .pace import Meter, Pace
from .status import is_fit, is_last_epoch, place_in, seconds_of, throughput_of, training_status
from .throughput import Throughput


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
            raise RunError(f"--progress_bar.refresh_rate is {refresh_rate}, and must be above 0", hint)
        require(every_n_seconds=every_n_seconds, at_least=0)
        self._display: Display = Bar(theme, leave, console_kwargs) if is_terminal() else Lines(theme)
        self._seconds = every_n_seconds if isinstance(self._display, Lines) else 1 / refresh_rate
        self._is_enabled = True
        self._measured: dict[str, Tensor] = {}  # by validations since the last look

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._place = self._place_shown = (trainer.current_epoch, completed_batches(trainer))
        self._start(trainer, training_status(trainer, *self._place).done, throughput_of(trainer))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._is_enabled:
            self._place = (trainer.current_epoch, batch_idx + 1)
            if self._is_due():
                self._show_training(trainer, outputs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Later, Lightning has forgotten the metrics of the last step, and has said why the training ends.
        if self._is_enabled and is_last_epoch(trainer):
            if self._measured or self._place != self._place_shown:
                self._show_training(trainer)
            self._display.close()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not is_fit(trainer):
            self._start(trainer, 0.0)
        elif self._is_enabled and not trainer.sanity_checking:
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
            self._measured |= {name: value for name, value in metrics if value is not self._metrics_before.get(name)}
            if isinstance(self._display, Lines) or self._is_due():  # else the next frame of the bar has them
                self._show_training(trainer)

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

    def _start(self, trainer: pl.Trainer, done: float | None, training: Throughput | None = None) -> None:
        self._batches = 0
        self._meter = Meter()
        pace = Pace(training.meter, trainer.world_size, done, training.utilisation) if training else None
        self._pace: Pace = pace or Pace(self._meter, trainer.world_size, done)
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
            self._meter.count(batch)
        if self._is_due():
            place, done = place_in("batch", self._batches, total), self._batches / total
            if is_fit(trainer):
                self._show(Status([*training_status(trainer, *self._place).places, f"validation {place}"], done))
            else:
                left = min(self._pace.left(done), default=None)
                self._show(Status([place], done, rates=self._pace.rates(), left=left))

    def _show_training(self, trainer: pl.Trainer, outputs: Any = None) -> None:
        self._place_shown = self._place
        status = training_status(trainer, *self._place)
        status.values = without_copies(metrics_of_step(trainer)) or loss_of(outputs)
        status.measured = without_copies({name: value.item() for name, value in self._measured.items()})
        self._measured.clear()
        status.rates = self._pace.rates()
        status.left = min([*self._pace.left(status.done), *seconds_of(trainer)], default=None)
        self._show(status)

    def _show(self, status: Status) -> None:
        self._display.show(status)
        self._due = time.monotonic() + self._seconds


def loss_of(outputs: Any) -> dict[str, float]:
    """The loss that a training step has returned, if it has."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return {"loss": loss.item()} if isinstance(loss, Tensor) else {}


def without_copies(metrics: dict[str, float]) -> dict[str, float]:
    """Without those that Lightning adds as NAME_step and NAME_epoch beside NAME."""
    originals = {name: re.sub(r"_(step|epoch)(?=(/dataloader_idx_\d+)?$)", "", name) for name in metrics}
    return {name: metrics[name] for name, original in originals.items() if original == name or original not in metrics}
