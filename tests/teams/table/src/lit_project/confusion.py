"""A figure of our own: who is taken for ill, and who is."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torchmetrics.classification import BinaryConfusionMatrix


class ConfusionMatrix(pl.Callback):
    """Draws confusion.png into the run folder at the end of a training, from its last validation."""

    counts: torch.Tensor | None = None

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.matrix = BinaryConfusionMatrix().to(pl_module.device)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        answers = pl_module.predict_step(batch, batch_idx)
        self.matrix.update(answers["probability"], batch[1].squeeze(1).int())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.counts = self.matrix.compute().cpu()  # of all processes

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and self.counts is not None and Path(trainer.default_root_dir).exists():
            draw(self.counts, Path(trainer.default_root_dir, "confusion.png"))


def draw(counts: torch.Tensor, file: Path) -> None:
    """(2, 2) counts, target by answer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts.numpy(), cmap="Blues")
    for target in range(2):
        for answer in range(2):
            axes.text(answer, target, str(int(counts[target, answer])), ha="center")
    axes.set(xticks=[0, 1], yticks=[0, 1], xlabel="taken for ill", ylabel="fell ill")
    figure.savefig(file)
