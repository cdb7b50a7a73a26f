"""Stop a training whose loss is no longer a number."""

import math

import pytorch_lightning as pl
from torch import Tensor

from ..errors import RunError

# Losses are checked in groups, because reading one makes the host wait for the device.
LOSSES_PER_CHECK = 50


class LossCheck:
    """Remembers losses with their places until they are checked."""

    def __init__(self) -> None:
        self.unchecked: list[tuple[int, int, int, Tensor]] = []

    def add(self, trainer: pl.Trainer, batch_idx: int, loss: Tensor) -> None:
        """Remember a scalar loss; check at once on the CPU, where reading it costs nothing."""
        self.unchecked.append((trainer.global_step, trainer.current_epoch, batch_idx, loss))
        if loss.device.type == "cpu" or len(self.unchecked) == LOSSES_PER_CHECK:
            self.check()

    def check(self) -> None:
        """Raise RunError at the first loss that is infinite or not a number."""
        losses, self.unchecked = self.unchecked, []
        for step, epoch, batch, loss in losses:
            if not math.isfinite(loss.item()):
                raise RunError(
                    f"the loss is {loss.item()} at step {step} (epoch {epoch}, batch {batch}); earlier checkpoints"
                    " are kept",
                    "a lower learning rate; --preset debug-nan, which finds the operation; a look at that batch",
                )
