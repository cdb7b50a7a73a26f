"""A step of each task, beside compute alone, a plain loop and stock Lightning: microseconds.

    python3 benchmarks/speed.py              # from the template's folder: bakes, measures, writes docs/speed.md
    python3 benchmarks/speed.py gpu          # the same with this preset, on an accelerator
    python3 benchmarks/speed.py gpu compile  # ... and with the networks compiled

Each way is measured in turn, in one process a task with one thread, in rounds; the table has medians. On a CPU that is
processor time, on an accelerator the time on the clock, once the device has done what it was given. Everything is shown
in a terminal of 80 columns, as a user would see it, since drawing a progress bar is part of a step's cost.
"""

import copy
import json
import os
import pty
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from report import ENVIRONMENT, UV, bake, table, where, write_section

STEPS = {"regression": 1500, "vision": 780, "language": 40}
STEPS_ON_DEVICE = {"regression": 1000, "vision": 600, "language": 120}
FLAGS = {"regression": ["--data.batch_size=32", "--trainer.log_every_n_steps=50"], "vision": [], "language": []}
ROUNDS = 3
TITLES = {
    "compute": "compute on a fixed batch",
    "plain": "plain loop (DataLoader, `.item()`, tqdm)",
    "fused": "the same with Adam fused",
    "validated": "the plain loop, validated each epoch",
    "lightning": "stock Lightning, one logged loss",
    "torchmetrics": "the same with torchmetrics",
    "fit": "`fit`, every feature on",
}
WAYS = tuple(TITLES)

TEXT = """\
Microseconds of processor time with one thread, each way in turn in one process, the median of three rounds.
{where}, {versions},
by `python3 benchmarks/speed.py`.

{table}

All ways have the same network, loss, optimizer, augmentation and batch size, those of each task's default run
(regression: batches of 32 instead of all rows). Stock Lightning has its own loggers, bar and checkpoints, and no
validation. `fit` has all that a project has: metrics, curves, both checkpoints, early stopping, exact resume, a fused
Adam, and its validations and best checkpoints, which are in its figure, as they are in that of the validated loop.
The language task's steps are those before its first validation.
"""

TEXT_OF_PRESETS = """\
Microseconds on the clock, with `{flags}`, on one {device}, each way in turn in one process, the median of three rounds.
{where}, {versions},
by `python3 benchmarks/speed.py {command}`.

{table}

All ways compute in the same precision, and where `fit` compiles the network, so do the others.
"""


def measure(task: str, presets: list[str]) -> dict[str, Any]:
    """In a baked project: microseconds a step, by way, and the device and versions that they hold for."""
    import pytorch_lightning as pl
    import torch
    from lit_project.__main__ import main
    from torch.utils.data import DataLoader
    from tqdm import tqdm

    torch.set_num_threads(1)
    steps, flags = STEPS[task], [*FLAGS[task], *(f"--preset={preset}" for preset in presets)]
    compiled = "compile" in presets

    def now():
        """Seconds of this process or, on an accelerator, on the clock, once it has done what it was given."""
        if device.type == "cpu":
            return time.process_time()
        torch.accelerator.synchronize()
        return time.perf_counter()

    class Parts(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            self.model, self.data = copy.deepcopy(pl_module), trainer.datamodule
            self.device, self.precision = trainer.strategy.root_device, trainer.precision

    class Clock(pl.Callback):
        """From the second epoch on, if there is one. Has no hook that would be part of a step."""

        def on_train_epoch_start(self, trainer, *_):
            if trainer.current_epoch <= 1:
                self.begun, self.first = now(), trainer.global_step

        def on_train_end(self, trainer, *_):
            self.seconds = (now() - self.begun) / (trainer.global_step - self.first)

    class LateClock(Clock):
        """For a long first epoch on an accelerator, whose first steps compile."""

        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == steps // 10:
                self.begun, self.first = now(), trainer.global_step

    class Stock(pl.LightningModule):
        def __init__(self, model, metrics):
            super().__init__()
            self.network, self.objective = copy.deepcopy(model.network), copy.deepcopy(model.objective)
            self.make_optimizer = model.optimizer
            self.metrics = metrics and self.objective.metrics().clone(prefix="train/")
            if compiled:
                self.network.compile()

        def training_step(self, batch, batch_idx):
            inputs, targets = data.on_after_batch_transfer(batch, 0)
            outputs = self.network(inputs)
            loss = self.objective(outputs, targets)
            self.log("train/loss", loss, prog_bar=True)
            if self.metrics:
                self.objective.update_metrics(self.metrics, outputs.detach(), targets, loss.detach())
                self.log_dict(self.metrics, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return self.make_optimizer(self.parameters())

    parts = Parts()
    main(["fit", "--trainer.fast_dev_run=1", *flags], [parts])
    model, data, device = parts.model, parts.data, parts.device
    if device.type != "cpu":
        steps = STEPS_ON_DEVICE[task]
    clock_of = LateClock if device.type != "cpu" and task == "language" else Clock

    data.trainer.training = True  # so that it moves pictures at random, in each of the ways

    def loader(dataset=data.train, shuffle=True):
        return DataLoader(dataset, data.batch_size, shuffle, pin_memory=device.type == "cuda")

    def seconds_of_step(epoch, look, fused=None):
        """Of a loop over the batches that epoch() gives again and again; it looks at each loss."""
        network, objective = copy.deepcopy(model.network), copy.deepcopy(model.objective)
        optimizer = model.optimizer([*network.parameters(), *objective.parameters()])
        optimizer.param_groups[0]["fused"] = fused
        if compiled:
            network.compile()
        done = 0
        while True:
            for batch in epoch(network, objective):
                if done == steps // 10:
                    begun = now()
                if done == steps:
                    return (now() - begun) / (steps - steps // 10)
                loss = loss_of(network, objective, batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                look(loss)
                done += 1

    def moved(batch):
        return [part.to(device, non_blocking=True) for part in batch]

    def loss_of(network, objective, batch):
        inputs, targets = batch
        with torch.autocast(device.type, torch.bfloat16, enabled=parts.precision == "bf16-mixed"):
            return objective(network(inputs), targets)

    def compute():
        batch = moved(next(iter(loader())))
        return seconds_of_step(lambda *_: [batch], lambda loss: None)

    def batches(*_):
        return (data.on_after_batch_transfer(moved(batch), 0) for batch in tqdm(loader()))

    def plain(epoch=batches, fused=None):
        losses = []
        return seconds_of_step(epoch, lambda loss: losses.append(loss.item()), fused)

    def validated():
        best = []

        def epoch(network, objective):
            yield from batches()
            network.eval()
            with torch.no_grad():
                losses = [loss_of(network, objective, moved(batch)).item() for batch in loader(data.val, False)]
            network.train()
            if sum(losses) < min(best, default=float("inf")):
                best.append(sum(losses))
                torch.save(network.state_dict(), "best.pt")

        return plain(epoch)

    def lightning(metrics=False):
        clock = clock_of()
        settings = {"max_steps": steps, "max_epochs": -1, "callbacks": [clock], "default_root_dir": "stock"}
        if device.type != "cpu":
            settings |= {"accelerator": device.type, "devices": 1, "precision": parts.precision}
        trainer = pl.Trainer(**settings)
        trainer.fit(Stock(model, metrics), loader())
        shutil.rmtree("stock")
        return clock.seconds

    def fit():
        clock = clock_of()
        length = [f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1", "--early_stopping.patience=1000000"]
        main(["fit", "--run=speed", *length, *flags], [clock])
        shutil.rmtree("runs/speed")
        return clock.seconds

    tried = (compute, plain, lambda: plain(fused=True), validated, lightning, lambda: lightning(metrics=True), fit)
    ways = dict(zip(WAYS, tried, strict=True))
    times = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            times[way].append(1e6 * ways[way]())
    medians = {way: statistics.median(seconds) for way, seconds in times.items()}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {**medians, "device": name, "versions": f"torch {torch.__version__}, Lightning {pl.__version__}"}


def in_terminal(command: list[str], folder: Path) -> None:
    """Run a command that sees a terminal, and show nothing of it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT)
    os.close(theirs)
    shown = bytearray()

    def drain() -> None:
        try:
            while part := os.read(ours, 2**16):
                shown.extend(part)
        except OSError:  # the other end is closed
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    code = process.wait()
    thread.join()
    os.close(ours)
    if code:
        sys.exit(bytes(shown[-4000:]).decode(errors="replace"))


def bake_and_measure(task: str, presets: list[str]) -> dict[str, Any]:
    project = bake(f"speed-{task}", task=task, logger="csv")
    words = ["python", __file__, "--measure", task, *presets]
    in_terminal([*UV, "run", "--directory", str(project), *words], project)
    return json.loads((project / "speed.json").read_text())


def as_table(measured: dict[str, dict[str, Any]]) -> str:
    lines = []
    for task, times in measured.items():
        ratios = [f"{times[way] / times['fit']:.2f}" for way in ("plain", "validated")]
        lines.append([task, *(f"{times[way]:,.0f}" for way in WAYS), *ratios])
    titles = [*TITLES.values(), "`fit`: of the plain loop's speed", "of the validated one's"]
    return table(["microseconds a step", *titles], lines)


def write(measured: dict[str, dict[str, Any]], presets: list[str]) -> None:
    """Write the section of docs/speed.md that these presets have."""
    given = {**measured["vision"], "where": where(), "table": as_table(measured)}
    if not presets:
        return write_section("A step", TEXT.format(**given))
    given["flags"] = " ".join(f"--preset {preset}" for preset in presets)
    given["command"] = " ".join(presets)
    return write_section(f"A step with `{given['flags']}`", TEXT_OF_PRESETS.format(**given))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        Path("speed.json").write_text(json.dumps(measure(sys.argv[2], sys.argv[3:])))
    else:
        write({task: bake_and_measure(task, sys.argv[1:]) for task in STEPS}, sys.argv[1:])
