"""How fast a training goes: samples and tokens per second, and model FLOP utilisation."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from ..devices.processes import gather
from .loop_state import logged_steps
from .metrics_file import metrics_file_of
from .pace import Meter, Work, told
from .samples import size_of
from .throughput_file import ThroughputFile


class Throughput(pl.Callback):
    """Measures a training, and nothing else: the clock stops for validations and for saving checkpoints.

    The first batch after a start is left out, since it may compile. Only where the clock stops, the processes exchange
    what they have counted, and this waits for the device.

    Attributes:
        meter: counts the batches of this process.
    """

    def __init__(self) -> None:
        self.meter = Meter()
        self._written = self._whole = Work()
        self._step = self._first_step = 0
        self._utilisation: Utilisation | None = None

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._first_step = checkpoint.get("resume", {}).get("logged_steps", 0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics_file = metrics_file_of(trainer)
        self._file = ThroughputFile(Path(metrics_file.log_dir), self._first_step) if metrics_file else None
        peak = peak_of(trainer)
        self._utilisation = Utilisation(pl_module, peak * trainer.world_size) if peak else None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.meter.is_running:
            return
        if self.meter.has_begun:
            self.meter.go_on()
        elif self._utilisation:
            self._utilisation.begin()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._utilisation and not self.meter.has_begun:
            self._utilisation.end(batch)
        self.meter.count(batch)
        self._step = logged_steps(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pause(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._pause(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pause(trainer)

    def utilisation(self, work: Work) -> float | None:
        """The MFU of some work of all processes, if it is known."""
        return self._utilisation.of(work) if self._utilisation else None

    def summary(self) -> str:
        """The rate of the whole training since it was started, as "1,240 samples/s"."""
        return ", ".join(told(self._whole, self.utilisation(self._whole)))

    def _pause(self, trainer: pl.Trainer) -> None:
        """Stop the clock, and write what has been done since it was last stopped."""
        if not self.meter.is_running:
            return
        wait_for(trainer.strategy.root_device)
        self.meter.pause()
        work = self.meter.work().after(self._written)
        self._written = self.meter.work()
        if work.batches:  # as many in each process
            self._write(trainer, of_all(gather(work)))

    def _write(self, trainer: pl.Trainer, work: Work) -> None:
        self._whole += work
        rates = work.rates()
        if mfu := self.utilisation(work):
            rates["mfu"] = mfu
        if self._file:
            self._file.add(self._step, work.seconds, rates)
        for logger in trainer.loggers:
            # A CSV file repeats its metrics to the last bit, which a clock does not.
            if rates and trainer.is_global_zero and not isinstance(logger, CSVLogger):
                logger.log_metrics(rates, self._step)


class Utilisation:
    """Model FLOP utilisation, from the FLOPs of the first batch, for which other batches are taken to be alike.

    Args:
        module: what is trained.
        peak: FLOPs per second that all devices together can do.
    """

    def __init__(self, module: pl.LightningModule, peak: float) -> None:
        self.module = module
        self.peak = peak
        self._flops = 0.0  # for a token where there are any, else for a sample

    def begin(self) -> None:
        """Count from here, before the first batch, whose time is not counted."""
        from .flops import StepFlops

        self._counter = StepFlops(self.module)

    def end(self, batch: Any) -> None:
        samples, tokens = size_of(batch)
        self._flops = (self._counter.end() or 0) / max(tokens or samples, 1)

    def of(self, work: Work) -> float | None:
        flops = (work.tokens or work.samples) * self._flops
        return flops / (work.seconds * self.peak) if flops and work.seconds else None


def of_all(parts: list[Work]) -> Work:
    """The work of all processes, which had the same number of batches at the same time."""
    batches, samples, tokens, seconds = zip(*parts, strict=True)
    return Work(max(batches), sum(samples), sum(tokens), max(seconds))


def peak_of(trainer: pl.Trainer) -> float | None:
    """FLOPs per second that each device can do at most, where that is known: not on a CPU."""
    device = trainer.strategy.root_device
    if device.type == "cpu":
        return None
    from .flops import peak_flops

    return peak_flops(device, trainer.precision)


def wait_for(device: torch.device) -> None:
    """Wait until a device has computed all that it was given."""
    if device.type in ("cuda", "mps"):
        torch.accelerator.synchronize(device)
