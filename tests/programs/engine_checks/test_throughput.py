"""How fast a training goes: on file, in loggers, and nowhere that is to be the same after a kill."""

import csv
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import last, same
from lit_project.__main__ import main
from lit_project.engine.training import pace, throughput
from lit_project.engine.training.flops import StepFlops
from lit_project.engine.training.pace import Meter, Pace, Work, told
from lit_project.engine.training.samples import size_of
from test_progress import free_port

FILE = Path("runs/one/throughput.csv")


class Ticks(pl.Callback):
    """A second for each training batch, and long times for what is not to be counted."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.now += 1 if self.now else 50  # the first one compiles

    def on_validation_batch_start(self, trainer, *_):
        self.now += 100

    def on_save_checkpoint(self, trainer, *_):
        self.now += 1000


@pytest.fixture
def fit(short, monkeypatch):
    """Fits with a clock of its own."""

    def fit_by_ticks(*flags, run="one", callbacks=()):
        ticks = Ticks()
        monkeypatch.setattr(pace, "time", ticks)
        main(["fit", f"--run={run}", *short, *flags], [ticks, *callbacks])

    return fit_by_ticks


def rows(file=FILE):
    with file.open(newline="") as text:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(text)]


def row(step, seconds, rate):
    return {"step": step, "seconds": seconds, "samples_per_second": rate}


def test_rates_are_those_of_training_alone(fit, capsys):
    fit("--last_checkpoint.every_n_steps=2")
    # Eight samples a second, at each save and each validation; the first batch is not counted.
    assert rows() == [row(1, 1, 8), row(2, 2, 8), row(3, 3, 8), row(5, 5, 8)]
    assert "\nThroughput:  8 samples/s\n" in capsys.readouterr().out


def test_row_has_the_step_of_the_metrics_beside_it(fit):
    fit()
    with Path("runs/one/metrics.csv").open(newline="") as file:
        validated = [int(row["step"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert [row["step"] for row in rows()] == validated


def test_gathered_gradients_count_each_batch(fit):
    fit("--trainer.accumulate_grad_batches=3")
    assert rows() == [row(0, 2, 8), row(1, 5, 8)]


def test_training_without_a_validation_is_told_at_its_end(fit):
    fit("--trainer.limit_val_batches=0", "--early_stopping=null", "--best_checkpoint=null")
    assert rows() == [row(5, 5, 8)]


def test_training_that_goes_on_keeps_what_was_before_its_checkpoint(fit, stop_at):
    stop_at(4)
    with pytest.raises(SystemExit):
        fit()
    assert rows() == [row(2, 2, 8), row(3, 3, 8)]
    with FILE.open("a") as file:  # as a kill long after the checkpoint leaves it
        file.write("4,4.000,9,,\n5,5.0")
    stop_at(10_000)
    fit()
    assert rows() == [row(2, 2, 8), row(3, 3, 8), row(5, 4, 8)]


def test_training_that_begins_anew_begins_its_file_anew(fit):
    FILE.parent.mkdir(parents=True)
    FILE.write_text("step,seconds,samples_per_second,tokens_per_second,mfu\n0,7.000,9,,\n")  # killed before it saved
    fit()
    assert rows()[0] == row(2, 2, 8)


def test_no_clock_changes_the_training_or_its_metrics(fit, short):
    fit()
    main(["fit", "--run=other", *short])
    metrics = [Path("runs", run, "metrics.csv").read_bytes() for run in ("one", "other")]
    assert metrics[0] == metrics[1]
    assert b"per_second" not in metrics[0]
    checkpoints = [last(run) for run in ("one", "other")]
    for part in ("state_dict", "optimizer_states", "loops"):
        assert same(checkpoints[0][part], checkpoints[1][part])
    assert FILE.read_bytes() != Path("runs/other/throughput.csv").read_bytes()


@pytest.mark.parametrize("flags", [["--trainer.logger=false", "--lr_monitor=null"], ["--trainer.fast_dev_run=true"]])
def test_training_that_logs_nothing_has_no_file(fit, flags):
    fit(*flags)
    assert not list(Path().rglob(FILE.name))


class OwnLogger(pl.loggers.logger.DummyLogger):
    def __init__(self):
        super().__init__()
        self.logged = []

    def log_metrics(self, metrics, step=None):
        self.logged += [(step, name, value) for name, value in metrics.items() if "per_second" in name]


def test_loggers_have_the_rate_at_the_step_of_a_validation():
    logger, meter = OwnLogger(), throughput.Throughput()
    data = torch.utils.data.DataLoader(torch.randint(9, (12, 5)), 4)
    quiet = {"enable_checkpointing": False, "enable_model_summary": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=1, callbacks=[meter], logger=logger, accelerator="cpu", **quiet)
    trainer.fit(Embedded(), data, data)
    assert [(step, name) for step, name, _ in logger.logged] == [(2, "samples_per_second"), (2, "tokens_per_second")]
    assert logger.logged[1][2] == pytest.approx(5 * logger.logged[0][2])


class Embedded(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(9, 2)

    def training_step(self, batch, batch_idx):
        return self.embedding(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@dataclass
class Pair:
    name: str
    values: torch.Tensor


TOKENS = torch.zeros(3, 7, dtype=torch.int64)
SIZES = {
    "pair": ((torch.zeros(5, 2), torch.zeros(5)), (5, 0)),
    "dict": ({"id": ["a"] * 4, "scalar": torch.tensor(1.0), "x": torch.zeros(4, 2)}, (4, 0)),
    "dataclass": (Pair("a", torch.zeros(6)), (6, 0)),
    "two loaders": ([[torch.zeros(2, 1)], [torch.zeros(9, 1)]], (2, 0)),
    "dict of loaders": ({"one": [TOKENS], "other": [torch.zeros(9, 1)]}, (3, 21)),
    "tokens": ({"tokens": TOKENS, "mask": TOKENS.bool()}, (3, 21)),
    "int32": ([TOKENS.int(), TOKENS], (3, 21)),
    "pictures in bytes": (TOKENS.to(torch.uint8), (3, 0)),
    "classes": ([torch.zeros(3, dtype=torch.int64)], (3, 0)),
    "nothing": (None, (0, 0)),
    "no tensor": ({"id": ["a"], "x": torch.tensor(1.0)}, (0, 0)),
    "empty": ([], (0, 0)),
}


@pytest.mark.parametrize(("batch", "expected"), SIZES.values(), ids=SIZES)
def test_size_of_a_batch(batch, expected):
    assert size_of(batch) == expected


@pytest.fixture
def clock(monkeypatch):
    ticks = Ticks()
    monkeypatch.setattr(pace, "time", ticks)
    return ticks


def test_batches_of_many_sizes_count_as_they_are(clock):
    meter = Meter()
    sizes = [(8, 10), (8, 10), (8, 90), (3, 20)]  # the last one of an epoch is smaller
    for size in sizes:
        meter.count((torch.zeros(size, dtype=torch.int64),))
        clock.now += 2
    meter.count(None)  # from a loader that found no sample to use
    assert meter.work() == Work(4, 19, 860, 8)
    assert told(meter.work(), None) == ["108 tokens/s"]


def test_batches_without_a_size_are_told_as_batches(clock):
    meter = Meter()
    shown = Pace(meter, 1, 0.0)
    for _ in range(3):
        meter.count({"text": ["a"]})
        clock.now += 4
    assert shown.rates() == ["0.167 batches/s"]
    assert meter.work().rates() == {}


def test_rate_is_that_since_the_last_look_that_is_long_enough_ago(clock):
    meter = Meter()
    shown = Pace(meter, 1, 0.0)
    told_rates = []
    for samples in (1, *[10] * 8, *[1000] * 8):
        meter.count(torch.zeros(samples, 1))
        told_rates += shown.rates()
        clock.now += 0.5
    assert told_rates[3] == "20 samples/s"
    assert told_rates[7] == "20 samples/s"
    assert told_rates[-1] == "2,000 samples/s"


PEAK = 1e8


@pytest.fixture
def known_device(monkeypatch):
    """Call it for a device of which the peak is known."""
    return lambda: monkeypatch.setattr(throughput, "peak_of", lambda trainer: PEAK)


def test_utilisation_is_what_the_model_needs_of_what_the_device_can_do(fit, parts, known_device, capsys):
    known_device()
    fit("--trainer.enable_progress_bar=true")
    model, data = parts
    batch = next(iter(data.train_dataloader()))
    flops = StepFlops(model)
    model.training_step(batch, 0)
    expected = flops.end() / size_of(batch)[0] * 8 / PEAK  # eight samples a second
    assert 0.01 < expected < 1
    assert [row["mfu"] for row in rows()] == [pytest.approx(expected, rel=1e-5)] * 2
    told = capsys.readouterr().out
    assert len(re.findall(rf"\| 8 samples/s, MFU {expected:.0%}, [\d:]+ left\n", told)) == 2
    assert f"Throughput:  8 samples/s, MFU {expected:.0%}\n" in told


def test_counting_flops_changes_nothing(fit, known_device):
    fit(run="other")
    known_device()
    fit()
    assert all("mfu" in row for row in rows())
    for part in ("state_dict", "optimizer_states", "loops"):
        assert same(last("one")[part], last("other")[part])


def test_utilisation_is_not_known_on_a_cpu(fit):
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    assert throughput.peak_of(trainer) is None
    fit()
    assert not any("mfu" in row for row in rows())


BY_TICKS = """
import sys
from test_throughput import Ticks
from lit_project.engine.training import pace
from lit_project.__main__ import main

pace.time = Ticks()
main(sys.argv[1:], [pace.time])
"""


def test_several_processes_are_counted_together(short):
    Path("by_ticks.py").write_text(BY_TICKS)
    flags = ["--preset=ddp-cpu", "--data.batch_size=7", *short[:-1]]
    environment = {**os.environ, "MASTER_PORT": str(free_port()), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "by_ticks.py", "fit", "--run=one", *flags], check=True, env=environment)
    assert rows() == [row(2, 2, 7), row(5, 5, 7)]  # four samples in one process, three in the other
