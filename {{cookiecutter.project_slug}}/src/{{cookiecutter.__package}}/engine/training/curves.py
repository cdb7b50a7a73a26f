"""curves.png: metrics.csv as a picture."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl

from ..saving.atomic import part_of
from ..saving.rows import read_panels
from .metrics_file import metrics_file_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "curves.png"


class Curves(pl.Callback):
    """Draws metrics.csv as curves.png at the end of a training, also of one that breaks off."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._draw(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._draw(trainer)

    def _draw(self, trainer: pl.Trainer) -> None:
        metrics_file = metrics_file_of(trainer)
        if metrics_file is None:
            return
        try:
            metrics_file.save()
            draw(Path(metrics_file.log_dir))
        except Exception as error:  # a picture is not worth a run
            warnings.warn(f"curves.png was not drawn: {error}", stacklevel=2)


def draw_if_missing(run: Path) -> None:
    """Draw what a training that came to its end was killed before it could draw."""
    metrics, curves = run / "metrics.csv", run / FILE
    if metrics.is_file() and (not curves.exists() or curves.stat().st_mtime < metrics.stat().st_mtime):
        draw(run)


def draw(run: Path) -> None:
    """From run/metrics.csv into run/curves.png."""
    figure = curves_of(run)
    if figure is None:
        return
    part = part_of(run / FILE)
    figure.savefig(part, dpi=120, format="png")
    os.replace(part, run / FILE)


def curves_of(run: Path) -> "Figure | None":
    """One panel per metric, training and validation together, as far as a run has come; None without metrics."""
    from matplotlib.figure import Figure  # a second to import, needed only now

    panels = read_panels(run / "metrics.csv")
    if not panels:
        return None
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    for axes, (name, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 30 else None)
        axes.set(title=name, xlabel="optimizer step")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
