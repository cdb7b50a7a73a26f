"""What a command prints at its end, and the metrics that it writes into the run folder."""

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from ..saving.runs import is_run
from ..training.predictions import FILE as PREDICTIONS
from ..training.resume import LastCheckpoint
from .arguments import naming
from .project import Project
from .trainer_callbacks import callback_of


def before_going_on(path: Path, saved: dict[str, Any], run: Path) -> None:
    """Say whose training goes on, unless it is the run's own."""
    if path.parent.parent.resolve() != run.resolve():
        finished = ", where it had ended" if saved.get("resume", {}).get("finished") else ""
        place = f"step {saved['global_step']}, epoch {saved['epoch']}{finished}"
        print(f"Goes on with the training of {path} from {place}; --init_from begins a new one with its weights")


def after_training(trainer: pl.Trainer, run: Path, project: Project) -> None:
    best, last = callback_of(trainer, ModelCheckpoint), callback_of(trainer, LastCheckpoint)
    stopping = callback_of(trainer, EarlyStopping)
    reason = (stopping and stopping.stopping_reason_message) or ""
    print_lines(
        trainer,
        run,
        {
            "Stopped": reason.removesuffix(" Signaling Trainer to stop.")
            or f"after {count(trainer.current_epoch, 'epoch')}, {count(trainer.global_step, 'step')}",
            "Best": best and best.best_model_score and f"{best.monitor} = {best.best_model_score:.4g}",
            "Saving": last and f"{last.share_of_saving():.1%} of the time",
            "Next": is_run(run)
            and (best or last)
            and f"{project.program} {next_command(trainer)} {naming(run, project)}",
        },
    )


def after_measuring(trainer: pl.Trainer, run: Path, stage: str) -> None:
    """Write what `validate` or `test` measured as validate.json or test.json."""
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    path = run / f"{stage}.json"
    if trainer.is_global_zero:
        path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    print_lines(trainer, run, {"Metrics": path, "Checkpoint": trainer.ckpt_path})


def after_predicting(trainer: pl.Trainer, run: Path) -> None:
    predictions = run / PREDICTIONS
    print_lines(trainer, run, {"Predictions": predictions.exists() and predictions, "Checkpoint": trainer.ckpt_path})


def next_command(trainer: pl.Trainer) -> str:
    """`test`, or `predict` for a model that has no test step."""
    has_test = type(trainer.lightning_module).test_step is not pl.LightningModule.test_step
    return "test" if has_test else "predict"


def count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def print_lines(trainer: pl.Trainer, run: Path, lines: dict[str, object]) -> None:
    """Print `Title:  text` for each line that has a text, and where the run lies."""
    curves = run / "curves.png"
    lines["Run folder"] = run.exists() and any(run.iterdir()) and run.resolve()  # a trial keeps nothing
    lines["Curves"] = curves.exists() and curves.resolve()
    for title, text in lines.items():
        if text and trainer.is_global_zero:
            print(f"{title + ':':13}{text}")
