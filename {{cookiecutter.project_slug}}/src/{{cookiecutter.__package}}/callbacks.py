"""What a run does beside learning."""

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichModelSummary,
    RichProgressBar,
)
from pytorch_lightning.cli import SaveConfigCallback
from torch import Tensor

from .metrics_file import MetricsFile
from .resume import LastCheckpoint, gathered
from .secrets import without_secrets


class ProgressBar(RichProgressBar):
    """Lightning's, without the number of the version: a run has a name, and lines have 80 columns."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


# A section of the configuration each, so that every argument is a flag too: --early_stopping.patience 3
CONFIGURED = {
    "best_checkpoint": ModelCheckpoint,
    "last_checkpoint": LastCheckpoint,
    "early_stopping": EarlyStopping,
    "lr_monitor": LearningRateMonitor,
    "progress_bar": ProgressBar,
    "model_summary": RichModelSummary,
}


class RunConfig(SaveConfigCallback):
    """Keeps the whole configuration of a training in its run folder, and shows it to the loggers."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Not yet: settings with which a run cannot go on would replace those with which it can."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        config = without_secrets(self.config)
        for chosen_anew in ("run", "preset", "config", "ckpt_path"):
            config.pop(chosen_anew, None)
        text = self.parser.dump(config, skip_none=False, skip_validation=True)
        run = Path(trainer.default_root_dir)
        run.mkdir(parents=True, exist_ok=True)
        goes_on = (run / "config.yaml").exists()
        (run / "config.yaml").write_text(text, encoding="utf-8")
        for logger in trainer.loggers:
            if not isinstance(logger, MetricsFile) and not goes_on:  # MLflow takes each setting once
                logger.log_hyperparams(config.as_dict())


class Curves(pl.Callback):
    """Draws metrics.csv as curves.png at the end of a training, also of one that breaks off."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._draw(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._draw(trainer)

    def _draw(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                try:
                    logger.save()
                    if logger.experiment.written:
                        draw(Path(logger.log_dir))
                except Exception as error:  # a picture is not worth a run
                    warnings.warn(f"curves.png was not drawn: {error}", stacklevel=2)


def draw(run: Path) -> None:
    """One panel per metric, training and validation together, from run/metrics.csv into run/curves.png."""
    from matplotlib.figure import Figure  # a second to import, needed only now

    panels = read_metrics(run / "metrics.csv")
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    for axes, (name, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 30 else None)
        axes.set(title=name, xlabel="optimizer step")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(run / "curves.png", dpi=120)


def read_metrics(path: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Curves by metric and stage: {"loss": {"train": [(step, value), ...], "val": ...}, ..., "learning rate": ...}."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    # Losses first, learning rates last, training before validation: the same places and colours in every picture.
    columns = sorted(rows[0].keys() - {"epoch", "step"}, key=lambda name: ("/" not in name, "/loss" not in name, name))
    for column in columns:
        stage, _, name = column.rpartition("/")
        points = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        panels.setdefault(name if stage else "learning rate", {})[stage or name] = points
    return panels


class SavePredictions(pl.Callback):
    """Keeps what `predict` answers: predictions.pt in the run folder, one tensor in the order of the data."""

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        batches = [part.cpu() for part in trainer.predict_loop.predictions]
        shares = gathered(batches, trainer.world_size)
        if trainer.is_global_zero:
            predictions = torch.cat([in_order(parts) for parts in zip(*shares, strict=True)])
            torch.save(predictions, Path(trainer.default_root_dir, "predictions.pt"))


def in_order(shares: Sequence[Tensor]) -> Tensor:
    """A batch as it was before batches.py dealt it out, one sample after the other, to so many processes."""
    batch = shares[0].new_empty(sum(map(len, shares)), *shares[0].shape[1:])
    for process, share in enumerate(shares):
        batch[process :: len(shares)] = share
    return batch


class Compile(pl.Callback):
    """Compiles the network where it stands: the names of its weights, and so its checkpoints, stay as they are."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        network: Any = pl_module.network
        network.compile()


class SameBatches(pl.Callback):
    """Has --trainer.overfit_batches see the same batches in each epoch, which Lightning does for its own loaders."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        loader.batch_sampler.shuffle = False
