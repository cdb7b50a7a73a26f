"""Where the time of a training step goes: measured in a training of its own, which then ends."""

import time
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl

from ..errors import RunError
from .plain_loop import COMPUTE, PlainLoop, fetched_ahead
from .timed_steps import Clock

# The training and the plain loop take turns, so that a machine that is busy for a while slows down both.
TURNS = 4
SECONDS = 14.0  # of all turns together; slow steps take longer, because two of each are measured at least
WARM_UP_SECONDS = 2.0  # after the first step


@dataclass
class Step:
    """A training step, in seconds of the clock on the wall.

    Attributes:
        whole: a step of `fit`, without what happens between epochs.
        between: what validations, checkpoints and the ends of epochs add to a step; None if there were none.
        validation: what of that are validations.
        first: the first step, which may compile.
        parts: those of the same step without Lightning: see PARTS.
        measured: how many steps of `fit` were measured, and how many of a plain loop.
        host: share of a step in which Python tells an accelerator what to do; if it is nearly 1, that waits for it.
        samples: of a batch, on average; 0 if it cannot be told.
        tokens: of a batch of integer sequences, padding included; 0 for others.
        flops: of a step with the first batch; None if they cannot be known.
        workers: processes that load batches.
        spread: how many times as long computing a step took in the slowest turn as in the fastest.
    """

    whole: float = 0.0
    between: float | None = None
    validation: float = 0.0
    first: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    measured: tuple[int, int] = (0, 0)
    host: float = 1.0
    samples: float = 0
    tokens: float = 0
    flops: int | None = None
    workers: int = 0
    spread: float = 1.0

    @property
    def rest(self) -> float:
        """What Lightning and the callbacks add to the parts."""
        return max(self.whole - sum(self.parts.values()), 0.0)

    @property
    def compute(self) -> float:
        return sum(self.parts[part] for part in COMPUTE)

    @property
    def total(self) -> float:
        return self.whole + (self.between or 0.0)


class Measured(Exception):
    """Ends the training once its step has been measured."""

    def __init__(self, step: Step, trainer: pl.Trainer) -> None:
        super().__init__("measured")
        self.step = step
        self.trainer = trainer


class Bench(pl.Callback):
    """Watches the steps of a training, repeats some without Lightning, and raises Measured."""

    def __init__(self) -> None:
        self.step = Step()
        self.lasted: list[tuple[float, bool]] = []  # seconds of each step, and whether they hold more than a step
        self.validation = 0.0
        self.was_validated = False
        self.since: float | None = None  # the end of the last step, once steps are measured
        self.loop: PlainLoop | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.clock = Clock(trainer.strategy.root_device)
        self.begun = time.perf_counter()
        self.done = self.done_in_turn = 0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validation_begun = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.was_validated = True
            self.validation += time.perf_counter() - self.validation_begun

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, self.done = time.perf_counter(), self.done + 1
        if self.done == 1:
            self.step.first = now - self.begun
        if self.since is None:
            # Later steps wait for what workers have fetched before the first one, and an epoch's first end may compile.
            is_warm = self.done > max(2, fetched_ahead(trainer) + 1) and (
                trainer.current_epoch > 0
                or trainer.max_epochs == 1
                or 0 < trainer.max_steps <= trainer.num_training_batches
            )
            if is_warm or now - self.begun > self.step.first + WARM_UP_SECONDS or self.step.first > WARM_UP_SECONDS:
                self._begin_turn()
        else:
            is_more = batch_idx == 0 or trainer.is_last_batch or self.was_validated
            self.lasted.append((now - self.since, is_more))
            self.since, self.was_validated = now, False
        is_last = ends_with(trainer, batch_idx)
        turns = 1 if fetched_ahead(trainer) else TURNS  # workers fetch ahead while it is not their turn
        in_turn = len(self.lasted) - self.done_in_turn
        if is_last or (self.since and in_turn >= 2 and now - self.turn_begun > SECONDS / 2 / turns):
            self._take_turn(trainer, pl_module, SECONDS / 2 / turns)
            if is_last or self.turns == turns or time.perf_counter() - self.measured_from > SECONDS:
                self._finish()
                raise Measured(self.step, trainer)
            self._begin_turn()

    def _begin_turn(self) -> None:
        """Measure the steps from now on."""
        self.clock.synchronize()
        self.since = self.turn_begun = time.perf_counter()
        if not self.lasted:
            self.turns, self.measured_from, self.validation = 0, self.turn_begun, 0.0
        self.done_in_turn, self.was_validated = len(self.lasted), False

    def _take_turn(self, trainer: pl.Trainer, module: pl.LightningModule, seconds: float) -> None:
        """End the training's turn, and give the plain loop one."""
        self.clock.synchronize()
        if len(self.lasted) < 2:
            raise RunError(
                f"the training ends at step {self.done}, and bench has to measure two steps when it is warm",
                "more of them: --trainer.max_epochs, --trainer.max_steps or --trainer.limit_train_batches",
            )
        duration, is_more = self.lasted[-1]
        self.lasted[-1] = (duration + time.perf_counter() - (self.since or 0.0), is_more)  # what the device still did
        if self.loop is None:
            self.loop = PlainLoop(trainer, module, self.clock)
            self.step.workers = self.loop.workers
            # Slow steps need no warm-up, for which there is no time.
            warm_up = fetched_ahead(trainer) if self.step.first < WARM_UP_SECONDS / 2 else 0
            self.step.flops = self.loop.warm_up(1 + warm_up, WARM_UP_SECONDS)
        # Short steps log no loss, and most of those of `fit` are short.
        if "advance" in vars(trainer.fit_loop.epoch_loop):
            vars(module)["logs_loss"] = False
        self.loop.run(seconds)
        vars(module).pop("logs_loss", None)
        self.turns += 1

    def _finish(self) -> None:
        assert self.loop is not None
        step = self.step
        step.whole, step.between = whole_and_between(self.lasted, self.validation)
        step.validation = self.validation / len(self.lasted)
        step.samples, step.tokens = self.loop.samples / self.loop.done, self.loop.tokens / self.loop.done
        step.measured = len(self.lasted), self.loop.done
        step.spread = max(self.loop.turns) / min(self.loop.turns)
        parts = self.loop.parts()
        if self.clock.device.type != "cpu":
            parts, step.host = self.loop.parts_on_device(parts)
        # Measured in turns, parts may come to a little more than the whole.
        scale = min(1.0, step.whole / sum(parts.values()))
        step.parts = {part: seconds * scale for part, seconds in parts.items()}


def whole_and_between(lasted: list[tuple[float, bool]], validation: float) -> tuple[float, float | None]:
    """Seconds of a step, and what is added to each by the ends of epochs.

    Args:
        lasted: seconds from the end of a step to that of the next, and whether an epoch or a validation has begun or
            ended in between.
        validation: seconds of all validations.
    """
    plain = [seconds for seconds, is_more in lasted if not is_more]
    more = [seconds for seconds, is_more in lasted if is_more]
    if len(plain) < 3 and more:  # epochs of one step or two: only validations can be told from it
        return (sum(plain) + sum(more) - validation) / len(lasted), validation / len(lasted)
    whole = sum(plain) / len(plain)
    return whole, max(sum(more) - len(more) * whole, 0.0) / len(lasted) if more else None


def ends_with(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a training ends with this batch."""
    ends = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
    return ends or 0 <= trainer.max_steps <= trainer.global_step or trainer.should_stop
