"""What a log file and a terminal show of a command: whole lines there, one line here, and nothing that costs a step."""

import csv
import json
import os
import random
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import last, same
from lit_project.__main__ import main
from lit_project.engine.training import pace, progress
from lit_project.engine.training.callbacks import ModelSummary
from lit_project.engine.training.display import Lines, duration
from lit_project.engine.training.progress import ProgressBar
from lit_project.engine.training.throughput import Throughput
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

SILENT = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d epoch .*")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}


@pytest.fixture
def shown(short):
    """The flags of a short training that shows what it does."""
    return [flag for flag in short if flag not in SILENT]


def command(*words):
    return [sys.executable, "-m", "lit_project", *words]


def environment(**variables):
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM")
    return {**{name: value for name, value in os.environ.items() if name not in hidden}, "TERM": "xterm", **variables}


def in_file(*words, **variables):
    """What a command writes into a log file."""
    with Path("log.txt").open("wb") as log:
        ended = subprocess.run(command(*words), stdout=log, stderr=log, env=environment(**variables))
    text = Path("log.txt").read_bytes().decode("ascii" if "LC_ALL" in variables else "utf-8")
    assert ended.returncode == 0, text
    return text


def in_terminal(columns, *words, **variables):
    """What a command writes to a terminal of so many columns."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    terminal, program_side = pty.openpty()
    size = b"".join(number.to_bytes(2, sys.byteorder) for number in (24, columns, 0, 0))
    fcntl.ioctl(program_side, termios.TIOCSWINSZ, size)
    program = subprocess.Popen(
        command(*words),
        stdin=subprocess.DEVNULL,
        stdout=program_side,
        stderr=program_side,
        env=environment(**variables),
    )
    os.close(program_side)
    written = b""
    try:
        while part := os.read(terminal, 2**16):
            written += part
    except OSError:  # so Linux says that the program has closed its side
        pass
    os.close(terminal)
    assert program.wait() == 0, written.decode()
    return written.decode()


def log_lines(text):
    return [line for line in text.splitlines() if LOG_LINE.fullmatch(line)]


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1", **ASCII_LOCALE}, {"FORCE_COLOR": "1"}])
def test_log_file_tells_where_on_what_and_how_far(shown, variables):
    text = in_file("fit", "--run=one", *shown, **variables)
    assert not CONTROL.search(text)
    lines = text.splitlines()
    titles = dict(line.split(":", 1) for line in lines if re.match(r"[A-Z][a-z ]+: ", line))
    assert titles["Command"].strip() == f"lit-project fit --run=one {' '.join(shown)}"
    assert titles["Run folder"].strip() == str(Path("runs/one").resolve())
    assert "1 x CPU" in titles["Devices"]
    assert not any("GPU available" in line or "TPU available" in line for line in lines)
    first, second = log_lines(text)  # one for each validation
    assert re.search(
        r"epoch 1\.00 of 2, step 3 of 6 \| train/loss [\d.]+, val/loss [\d.]+, val/accuracy [\d.]+ \| ", first
    )
    assert re.search(r"epoch 2\.00 of 2, step 6 of 6 \| .* \| [\d,]+ samples/s, 0:00:00 left$", second)
    assert len(first) < 140
    with Path("runs/one/metrics.csv").open(newline="") as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert [re.search("val/loss ([^ ,]+)", line)[1] for line in (first, second)] == [f"{loss:.4g}" for loss in losses]


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1", **ASCII_LOCALE}])
def test_terminal_shows_one_line_that_fits(shown, columns, variables):
    flags = ("--run=one", *shown, "--progress_bar.refresh_rate=1000", "--trainer.limit_train_batches=20")
    text = in_terminal(columns, "fit", *flags, **variables)
    assert "Command:" not in text  # somebody has just typed it
    assert "stage_metrics" not in text
    drawn = [re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", line) for line in re.split(r"\r|\n", text) if "\x1b[2K" in line]
    places = [line for line in drawn if re.match(r"step \d+ of 40 ", line)]
    assert len(places) > 20
    ours = [line for line in drawn if line.startswith(("step ", "validation "))]
    assert all(len(line) <= columns for line in ours), max(ours, key=len)
    assert all("train/loss " in line for line in places)
    assert re.search(r", [\d,]+ samples/s, \d:\d\d:\d\d left", places[-1]) or columns < 80
    assert not any(re.search(r"samples(/s?\w)?\s*$|samples$", line) for line in places)  # nothing is cut in the middle
    assert not any("`Trainer.fit` stopped" in line for line in ours)  # it has a line of its own
    assert ("\x1b[3" in text) == ("NO_COLOR" not in variables or "\x1b[3m" in text)
    assert text.isascii() == ("LC_ALL" in variables)


def test_terminal_that_cannot_draw_gets_lines(shown):
    text = in_terminal(80, "fit", "--run=one", *shown, TERM="dumb")
    assert not CONTROL.search(text.replace("\r\n", "\n"))
    assert len(log_lines(text)) == 2


def free_port():
    """A port that neither Lightning nor the system gives to another program before ours takes it, a while later."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)  # the system's own begin at 32,768 or later
        with socket.socket() as one, suppress(OSError):
            one.bind(("", port))
            return port


def test_first_process_alone_writes(shown):
    seldom = "--progress_bar.every_n_seconds=3600"  # on a busy machine, six steps may take more than 30 seconds
    text = in_file("fit", "--run=one", "--preset=ddp-cpu", seldom, *shown, MASTER_PORT=str(free_port()))
    assert len(log_lines(text)) == 2
    assert text.count("Devices:     2 x CPU") == 1


def test_training_goes_on_without_a_reader(shown):
    with subprocess.Popen(command("fit", "--run=one", *shown), stdout=subprocess.PIPE, env=environment()) as program:
        program.stdout.readline()
        program.stdout.close()
    assert last("one")["resume"]["finished"]


def test_lines_come_from_time_to_time_and_values_are_read_for_them_alone(shown, capfd, monkeypatch):
    reads = []
    monkeypatch.setattr(progress, "metrics_of_step", lambda trainer: reads.append(trainer.global_step) or {})
    flags = (*shown, "--trainer.limit_train_batches=25", "--trainer.limit_val_batches=0", "--early_stopping=null")
    flags += ("--best_checkpoint=null",)
    main(["fit", "--run=seldom", *flags])
    assert (len(log_lines(capfd.readouterr().out)), reads) == (1, [50])
    main(["fit", "--run=always", *flags, "--progress_bar.every_n_seconds=0"])
    assert (len(log_lines(capfd.readouterr().out)), reads[1:]) == (50, list(range(1, 51)))


def test_line_comes_before_it_is_late(monkeypatch):
    bar, now = ProgressBar(every_n_seconds=30), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    bar._start(pl.Trainer(logger=False), 0.0)
    late = []
    for now[0] in (12.0, 24.0, 36.0):
        late.append(bar._is_due())
    assert late == [False, True, True]


def test_training_in_steps_tells_steps(shown, capfd):
    main(["fit", "--run=one", *shown, "--trainer.max_epochs=-1", "--trainer.max_steps=4"])
    told = capfd.readouterr().out
    assert "step 3 of 4 |" in told
    assert "step 4 of 4 |" in told
    assert "/-2" not in told


def test_training_that_goes_on_says_from_where(shown, stop_at, capfd):
    stop_at(4)
    with pytest.raises(SystemExit):
        main(["fit", "--run=one", *shown])
    capfd.readouterr()
    stop_at(10_000)
    main(["fit", "--run=one", *shown])
    told = capfd.readouterr().out
    assert "Goes on from step 4, epoch 1" in told
    (line,) = log_lines(told)
    assert "epoch 2.00 of 2, step 6 of 6" in line


@pytest.mark.parametrize("flag", ["--trainer.enable_progress_bar=false", "--progress_bar=null"])
def test_lines_can_be_switched_off(shown, capfd, flag):
    main(["fit", "--run=one", *shown, flag])
    assert not log_lines(capfd.readouterr().out)


@pytest.mark.parametrize(("setting", "value"), [("refresh_rate", 0), ("every_n_seconds", -1)])
def test_rate_and_time_out_of_range_are_refused(shown, refused, setting, value):
    assert f"--progress_bar.{setting} is {value}" in refused("fit", *shown, f"--progress_bar.{setting}={value}")


class OwnBar(pl.callbacks.ProgressBar):
    def enable(self):
        pass

    def disable(self):
        pass


def test_bar_of_ones_own_takes_the_place_of_ours(shown, capfd):
    main(["fit", "--run=one", *shown], callbacks=[OwnBar()])
    assert not log_lines(capfd.readouterr().out)
    assert last("one")["resume"]["finished"]


def test_nothing_that_is_shown_changes_the_training(shown):
    main(["fit", "--run=silent", *shown, *SILENT])
    main(["fit", "--run=told", *shown, "--progress_bar.every_n_seconds=0"])
    assert same(last("silent")["state_dict"], last("told")["state_dict"])


def test_measuring_and_predicting_tell_how_far_they_are(shown, capfd):
    main(["fit", "--run=one", *shown])
    for name, count in (("validate", 2), ("test", 2), ("predict", 2)):
        capfd.readouterr()
        main([name, "--run=one", "--progress_bar.every_n_seconds=0"])
        told = capfd.readouterr().out
        assert f"Command:     lit-project {name} --run=one" in told
        assert len(re.findall(rf"^\d\d:\d\d:\d\d batch \d of {count}\b", told, re.MULTILINE)) == count
    assert json.loads(Path("runs/one/test.json").read_text())


class Plain(pl.LightningModule):
    """Two layers, each of which may have an optimizer of its own."""

    def __init__(self, log=(), optimizers=1):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)])
        self.log_settings = dict.fromkeys(log, True)
        self.automatic_optimization = optimizers == 1

    def loss(self, batch):
        rows = batch[0] if isinstance(batch, list) else batch
        return sum(layer(rows).square().mean() for layer in self.layers)

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        if self.log_settings:
            self.log("train_loss", loss, **self.log_settings)
        if self.automatic_optimization:
            return loss
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        if self.log_settings:
            self.log("val_loss", self.loss(batch), **self.log_settings)

    def configure_optimizers(self):
        if self.automatic_optimization:
            return torch.optim.SGD(self.parameters(), 0.1)
        return [torch.optim.SGD(layer.parameters(), 0.1) for layer in self.layers]


class Endless(IterableDataset):
    def __iter__(self):
        yield from torch.rand(16, 4)


def rows(count=16):
    return DataLoader(TensorDataset(torch.rand(count, 4)), 4)


def lines_of(capfd, model, train, val=None, every_n_seconds=30.0, own=(), **settings):
    """The lines of a training, without their time."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    shown = [Throughput(), ProgressBar(every_n_seconds=every_n_seconds)]
    pl.Trainer(callbacks=[*shown, *own], **quiet, **settings).fit(model, train, val)
    return [line.partition(" ")[2] for line in log_lines(capfd.readouterr().out)]


def places(lines):
    return [line.partition(" | ")[0] for line in lines]


def test_loader_without_a_length_has_no_end(capfd):
    loader = DataLoader(Endless(), 4)
    lines = lines_of(capfd, Plain(["on_step"]), loader, rows(), max_epochs=2)
    assert places(lines) == ["epoch 0 of 2, step 4", "epoch 1 of 2, step 8"]
    assert "left" not in lines[0]
    lines = lines_of(capfd, Plain(["on_step"]), loader, rows(), max_steps=4, val_check_interval=2)
    assert places(lines) == ["epoch 0, step 2 of 4", "epoch 0, step 4 of 4"]
    assert "left" in lines[0]


def test_steps_are_those_of_all_optimizers(capfd):
    lines = lines_of(capfd, Plain(["on_step"], optimizers=2), rows(), rows(), max_epochs=2)
    assert places(lines) == ["epoch 1.00 of 2, step 8", "epoch 2.00 of 2, step 16"]
    lines = lines_of(capfd, Plain(["on_step"], optimizers=2), rows(), None, max_epochs=-1, max_steps=10)
    assert places(lines) == ["epoch 1.25, step 10 of 10"]


def test_gathered_gradients_make_fewer_steps(capfd):
    lines = lines_of(capfd, Plain(["on_step"]), rows(), rows(), max_epochs=1, accumulate_grad_batches=3)
    assert places(lines) == ["epoch 1.00 of 1, step 2 of 2"]
    changing = pl.callbacks.GradientAccumulationScheduler({0: 1, 1: 4})
    lines = lines_of(capfd, Plain(["on_step"]), rows(), rows(), max_epochs=2, own=[changing])
    assert places(lines) == ["epoch 1.00 of 2, step 4", "epoch 2.00 of 2, step 5"]


def test_training_with_a_time_limit_has_that_time_left(capfd):
    endless = {"max_epochs": -1, "max_time": "00:00:00:01"}
    lines = lines_of(capfd, Plain(["on_step"]), rows(), None, every_n_seconds=0.1, **endless)
    assert re.search(r"epoch \d+\.\d+, step \d+ \| .*, 0:00:0[01] left$", lines[0])
    both = {"max_epochs": -1, "max_steps": 9, "max_time": "00:00:30:00"}
    (line,) = lines_of(capfd, Plain(["on_step"]), rows(), None, **both)
    assert re.search(r"step 9 of 9 .* 0:00:00 left", line)


def test_each_metric_is_shown_once_and_those_of_several_sets_are_told_apart(capfd):
    (line,) = lines_of(capfd, Plain(["on_step", "on_epoch"]), rows(), [rows(), rows(8)], max_epochs=1)
    names = re.findall(r"(\S+) \d+\.\d+(?=,| \|)", line.partition(" | ")[2])
    assert names == ["train_loss", "val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"]


def test_model_shows_what_it_marks_for_the_bar_or_else_its_loss(capfd):
    class Marked(Plain):
        def training_step(self, batch, batch_idx):
            self.log("shown", 1.0, prog_bar=True)
            self.log("hidden", 2.0)
            return super().training_step(batch, batch_idx)

    (line,) = lines_of(capfd, Marked(), rows(), None, max_epochs=1)
    assert "| shown 1.000 |" in line
    line = lines_of(capfd, Plain(), rows(), None, every_n_seconds=0.0, max_epochs=1)[0]
    assert re.search(r"\| loss \d\.\d+ \|", line)


def test_long_validation_tells_how_far_it_is(capfd):
    lines = lines_of(capfd, Plain(), rows(4), rows(), every_n_seconds=0.0, max_epochs=1)
    assert "epoch 1.00 of 1, step 1 of 1, validation batch 3 of 4" in lines


def test_pace_leaves_out_the_first_batch_and_pauses(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    meter, batch = pace.Meter(), (torch.zeros(8, 3), ["a"] * 8)
    shown = pace.Pace(meter, 2, 0.2)
    assert shown.rates() == []
    for now[0] in (50.0, 52.0, 54.0):  # the first one has compiled something
        meter.count(batch)
    assert shown.rates() == ["8 samples/s"]
    meter.pause()
    now[0] = 100.0
    meter.go_on()
    now[0] = 104.0
    meter.count(batch)
    assert shown.rates() == ["4 samples/s"]
    assert shown.left(0.6) == [pytest.approx(104)]
    assert shown.left(0.2) == shown.left(None) == []
    assert [duration(seconds) for seconds in (0.4, 61, 93_784)] == ["0:00:00", "0:01:01", "26:03:04"]


def test_full_disk_under_a_log_file_does_not_end_a_training(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.print", full)
    Lines(RichProgressBarTheme()).show(progress.Status(["step 1"]))


def test_summary_lists_the_parts_of_a_model_and_not_of_the_engine(parts, capfd):
    for depth in (1, 2):
        model, data = parts
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        summary = ModelSummary(max_depth=depth)
        pl.Trainer(max_steps=1, callbacks=[summary], accelerator="cpu", **quiet).fit(model, data.train_dataloader())
        told = capfd.readouterr().out.splitlines()
        assert told[0].split()[:2] == ["network", "Network"]
        assert told[-1].startswith("Trainable params: ")
        assert not any("stage_metrics" in line or "Measures" in line for line in told)
        assert len(told) == 3 or depth == 2
