"""What a command prints at its end, and the metrics that it writes into the run folder."""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from ..saving import checkpoints
from ..saving.atomic import write_text
from ..saving.parts import Joined, rejects_of
from ..saving.runs import is_run
from ..training.display import is_terminal, say
from ..training.evaluation_folder import FIGURES
from ..training.predictions import FILE as PREDICTIONS
from ..training.resume import LastCheckpoint, is_trial
from ..training.throughput import Throughput
from .arguments import naming
from .figures import table_lines
from .project import Project
from .trainer_callbacks import callback_of


def before_command(trainer: pl.Trainer, run: Path, command: str) -> None:
    """Say where and on what a command runs; in a log file also with which words, and when."""
    in_log = {} if is_terminal() else {"Command": command, "Started": time.strftime("%Y-%m-%d %H:%M:%S")}
    folder = not is_trial(trainer) and run.resolve()
    print_titled(trainer, {**in_log, "Run folder": folder, "Devices": devices(trainer)})


def devices(trainer: pl.Trainer) -> str:
    """Such as "2 x CPU on HOST, precision 32-true"."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    hosts = f"{trainer.num_nodes} hosts, from {socket.gethostname()}" if trainer.num_nodes > 1 else socket.gethostname()
    return f"{trainer.world_size} x {name} on {hosts}, precision {trainer.precision}"


def before_going_on(path: Path, saved: dict[str, Any], run: Path) -> None:
    """Say from where a training goes on, and whose it is unless it is the run's own."""
    finished = ", where it had ended" if saved.get("resume", {}).get("finished") else ""
    place = f"step {saved['global_step']}, epoch {saved['epoch']}{finished}"
    if path.parent.parent.resolve() == run.resolve():
        say(f"Goes on from {place}")
    else:
        say(f"Goes on with the training of {path} from {place}; --init_from begins a new one with its weights")


def after_training(trainer: pl.Trainer, run: Path, project: Project) -> None:
    best, last = callback_of(trainer, ModelCheckpoint), callback_of(trainer, LastCheckpoint)
    stopping, throughput = callback_of(trainer, EarlyStopping), callback_of(trainer, Throughput)
    reason = (stopping and stopping.stopping_reason_message) or ""
    print_lines(
        trainer,
        run,
        {
            "Stopped": reason.removesuffix(" Signaling Trainer to stop.")
            or f"after {count(trainer.current_epoch, 'epoch')}, {count(trainer.global_step, 'step')}",
            "Best": best and best.best_model_score and f"{best.monitor} = {best.best_model_score:.4g}",
            "Throughput": throughput and throughput.summary(),
            "Saving": last and f"{last.share_of_saving():.1%} of the time",
            "Next": is_run(run)
            and (best or last)
            and f"{project.program} {next_command(trainer)} {naming(run, project)}",
        },
    )


def after_measuring(trainer: pl.Trainer, run: Path, stage: str, prints_table: bool) -> None:
    """Write what `validate` or `test` measured, and of which checkpoint, and print the table of it.

    It is written as validate.json or test.json.
    """
    measured: dict[str, Any] = {name: value.item() for name, value in trainer.callback_metrics.items()}
    path = run / f"{stage}.json"
    if trainer.is_global_zero:
        measured["checkpoint"] = checkpoints.identity(Path(str(trainer.ckpt_path)), run)
        write_text(path, json.dumps(measured, indent=2) + "\n")
        for line in table_lines(run / stage / FIGURES, stage) if prints_table else ():
            say(line)
    print_lines(trainer, run, {"Metrics": path, "Details": run / stage, "Checkpoint": trainer.ckpt_path})


def after_predicting(trainer: pl.Trainer, run: Path) -> None:
    predictions = run / PREDICTIONS
    print_lines(trainer, run, {"Predictions": predictions.exists() and predictions, "Checkpoint": trainer.ckpt_path})


def after_answering(trainer: pl.Trainer, run: Path, output: Path, joined: Joined) -> None:
    """Say where the answers are, and how many; the inputs that were bad on the standard error too."""
    inputs = joined.answers + joined.rejects
    print_lines(trainer, run, {"Answers": f"{output}, for {joined.answers:,} of {count(inputs, 'input')}"})
    if joined.rejects and trainer.is_global_zero:
        print(f"{count(joined.rejects, 'input')} left out as bad: see {rejects_of(output)}", file=sys.stderr)


def next_command(trainer: pl.Trainer) -> str:
    """`test`, or `predict` for a model that has no test step."""
    has_test = type(trainer.lightning_module).test_step is not pl.LightningModule.test_step
    return "test" if has_test else "predict"


def count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"


def print_lines(trainer: pl.Trainer, run: Path, lines: dict[str, object]) -> None:
    """Print `Title:  text` for each line that has a text, and where the run lies."""
    curves = run / "curves.png"
    lines["Run folder"] = run.exists() and any(run.iterdir()) and run.resolve()  # a trial keeps nothing
    lines["Curves"] = curves.exists() and curves.resolve()
    print_titled(trainer, lines)


def print_titled(trainer: pl.Trainer, lines: dict[str, object]) -> None:
    for title, text in lines.items():
        if text and trainer.is_global_zero:
            say(f"{title + ':':13}{text}")
