"""What exact resuming costs: steps per second with the project's own batches and last checkpoint, and without both.

    python tools/uv.py run cookiecutter . --no-input --output-dir build task=vision logger=csv
    cd build/lit-project && uv run python ../../benchmarks/resume.py [flags of fit]

Trains in turn, nine times each way, and prints the median of the ratios. Counts processor time, which other processes
disturb less than the clock. Without: torch's DataLoader, and a callback that does nothing while it trains.
"""

import os
import statistics
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

PACKAGE = Path.cwd().name.replace("-", "_")
MODULES = ("__main__", "data", "engine.training.resume")
entry, data, resume = (import_module(f"{PACKAGE}.{name}") for name in MODULES)
STEPS = 400
FLAGS = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.max_epochs=-1"]
FLAGS += [f"--trainer.max_steps={STEPS}", "--trainer.limit_val_batches=0", "--trainer.log_every_n_steps=50"]
FLAGS += ["--trainer.enable_checkpointing=true", "--early_stopping.monitor=train/loss", "--early_stopping.patience=999"]
OURS = {
    (data, "Batches"): data.Batches,
    (resume.LastCheckpoint, "on_train_batch_start"): resume.LastCheckpoint.on_train_batch_start,
    (resume.LastCheckpoint, "on_train_batch_end"): resume.LastCheckpoint.on_train_batch_end,
}


class Clock(pl.Callback):
    seconds: float

    def on_train_start(self, trainer, pl_module):
        self.begun = time.process_time()

    def on_train_end(self, trainer, pl_module):
        Clock.seconds = time.process_time() - self.begun


def stock(dataset, batch_size, shuffle, num_workers, seed):
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch_size, shuffle, num_workers=num_workers, generator=generator)


def nothing(*arguments):
    return None


def steps_per_second(number, ours):
    for (place, name), kept in OURS.items():
        setattr(place, name, kept if ours else stock if name == "Batches" else nothing)
    run = f"bench-{number}-{'ours' if ours else 'stock'}"
    entry.main(["fit", "--run", run, *FLAGS, *sys.argv[1:]], callbacks=[Clock()])
    return STEPS / Clock.seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.chdir(tempfile.mkdtemp())  # for the runs
    both = []
    for number in range(10):
        first = number % 2 == 0  # whoever comes second finds another machine
        speeds = {ours: steps_per_second(number, ours) for ours in (first, not first)}
        both += [(speeds[True], speeds[False])] if number else []
    ratios = [ours / stock for ours, stock in both]
    print(f"{statistics.median(speed for speed, _ in both):.0f} steps per second;", end=" ")
    print(f"ratio to stock {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")
