"""The loop that somebody would write without Lightning, measured part for part."""

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import CombinedLoader
from torch.utils.data import DataLoader

from .flops import StepFlops
from .loop_state import training_loaders
from .samples import size_of
from .timed_steps import UNTIMED, Clock, TimedSteps

DEVICE_SECONDS = 2.0  # for each look at what an accelerator does
END = object()
COMPUTE = ("forward", "backward", "optimizer")
PARTS = ("data", "transfer", *COMPUTE, "logging")


class PlainLoop:
    """Steps of a training, one after the other, over a loader of its own.

    Args:
        trainer: a Trainer in a hook of a training.
        module: what it trains.
        clock: measures the loop's parts.
    """

    def __init__(self, trainer: pl.Trainer, module: pl.LightningModule, clock: Clock) -> None:
        self.clock = clock
        self.module = module
        self.steps = TimedSteps(trainer, module, clock)
        loaders = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined] # the command line's
        self.loader = loaders if isinstance(loaders, DataLoader) else CombinedLoader(loaders, "max_size_cycle")
        self.workers = max(getattr(loader, "num_workers", 0) for loader in training_loaders(trainer))
        self.batches = iter(self.loader)
        self.batch = self.fetch()
        self.done = self.samples = self.tokens = 0
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.turns: list[float] = []  # seconds of computing a step, in each turn

    def warm_up(self, steps: int, seconds: float) -> int | None:
        """Make so many steps that are not measured, if there is time for them; return the FLOPs of the first."""
        flops = StepFlops(self.module)
        begun = time.perf_counter()
        self.steps.step(self.steps.transfer(self.batch))
        counted = flops.end()
        while steps > 1 and time.perf_counter() - begun < seconds:
            self.step()
            steps -= 1
        return counted

    def fetch(self) -> Any:
        """The next batch. Workers that start with an epoch are not measured: `fit` has them between its epochs."""
        self.clock.to("data")
        batch: Any = next(self.batches, END)
        if batch is END:
            if self.workers:
                self.clock.to(UNTIMED)
            self.batches = iter(self.loader)
            batch = next(self.batches)
        self.clock.to(UNTIMED)
        return batch if isinstance(self.loader, DataLoader) else batch[0]  # which CombinedLoader numbers

    def step(self) -> Any:
        """Make a step; return its batch."""
        batch = self.fetch()
        if batch is not None:  # from a loader that found no sample to use
            self.steps.step(self.steps.transfer(batch))
        return batch

    def counted_step(self) -> None:
        samples, tokens = size_of(self.step())
        self.samples += samples
        self.tokens += tokens

    def run(self, seconds: float) -> None:
        """Make steps for so long, and measure them."""
        self.clock.synchronize()
        self.clock.reset()
        count = repeat(self.counted_step, seconds)
        self.clock.to("backward")
        self.clock.synchronize()  # what the device still has to do
        self.clock.to(UNTIMED)
        self.done += count
        self.turns.append(sum(self.clock.seconds.get(part, 0.0) for part in COMPUTE) / count)
        for part in PARTS:
            self.seconds[part] += self.clock.seconds.get(part, 0.0)

    def parts(self) -> dict[str, float]:
        """Seconds of each part of a step, as the host sees them."""
        return {part: seconds / self.done for part, seconds in self.seconds.items()}

    def parts_on_device(self, on_host: dict[str, float]) -> tuple[dict[str, float], float]:
        """The same where the host only tells an accelerator what to do, and the share of the time that it needs.

        What the host does while the device computes costs nothing. So the parts of computing are shares of a step on
        one batch, and what the loader and the transfer cost is what a step of the loop takes longer than that.
        """
        self.clock.synchronize()
        self.clock.reset(waits=True)
        repeat(self.step, DEVICE_SECONDS)
        self.clock.to(UNTIMED)
        shares = {part: self.clock.seconds.get(part, 0.0) for part in PARTS[2:]}
        batch = self.steps.transfer(self.batch)
        self.clock.synchronize()
        self.clock.reset()
        begun = time.perf_counter()
        count = repeat(lambda: self.steps.step(batch), DEVICE_SECONDS)
        self.clock.synchronize()
        whole = (time.perf_counter() - begun) / count
        parts = {part: seconds * whole / sum(shares.values()) for part, seconds in shares.items()}
        loading = {part: on_host[part] for part in PARTS[:2]}
        not_hidden = (sum(on_host.values()) - whole) / max(sum(loading.values()), 1e-9)
        loading = {part: seconds * min(max(not_hidden, 0.0), 1.0) for part, seconds in loading.items()}
        return loading | parts, min(self._host_seconds(batch) / whole, 1.0)

    def _host_seconds(self, batch: Any) -> float:
        """How long the host tells the device what to do in a step, while that has nothing else to do."""
        lasted = []

        def step() -> None:
            self.clock.synchronize()  # with a long queue, the host would wait for a place in it
            begun = time.perf_counter()
            self.steps.step(batch)
            lasted.append(time.perf_counter() - begun)

        repeat(step, DEVICE_SECONDS / 2)
        return sum(lasted) / len(lasted)


def repeat(step: Callable[[], object], seconds: float) -> int:
    """Make steps for so long, and two at least; return how many."""
    begun, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - begun < seconds:
        step()
        count += 1
    return count


def fetched_ahead(trainer: pl.Trainer) -> int:
    """How many batches the workers of a training's loader fetch before they are asked for."""
    loaders = [loader for loader in training_loaders(trainer) if isinstance(loader, DataLoader)]
    return sum(loader.num_workers * (loader.prefetch_factor or 0) for loader in loaders)
