"""`bench`: rows that add up to a step of fit, each at its place for models of any kind, and nothing left behind."""

import os
import re
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import torchmetrics
from lit_project.__main__ import main
from lit_project.engine.command.bench import scaled
from lit_project.engine.command.dispatch import run
from lit_project.engine.command.project import Parts, Project
from lit_project.engine.training import bench, plain_loop
from lit_project.engine.training.bench import whole_and_between
from lit_project.engine.training.plain_loop import PARTS, PlainLoop
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

ROWS = (*PARTS, "Lightning", "in all")


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 1.0)
    monkeypatch.setattr(plain_loop, "DEVICE_SECONDS", 0.1)
    monkeypatch.setattr(bench, "WARM_UP_SECONDS", 0.3)


class Data(pl.LightningDataModule):
    def __init__(self, num_workers: int = 0):
        super().__init__()
        self.num_workers = num_workers

    def dataset(self):
        return TensorDataset(torch.randn(64, 8), torch.randn(64, 1))

    def train_dataloader(self):
        return DataLoader(self.dataset(), 8, num_workers=self.num_workers)


class Net(pl.LightningModule):
    def __init__(self, width: int = 4):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, width), nn.Linear(width, 1))

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return ((self.net(inputs) - targets) ** 2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def printed(capsys, model=Net, data=Data, *flags):
    """What `bench` prints: its rows as milliseconds, and all of it."""
    configs = Path("configs")
    configs.mkdir(exist_ok=True)
    (configs / "default.yaml").write_text("trainer: {max_epochs: 1000000, accelerator: cpu}\nlr_monitor: null\n")
    before = sorted(Path().rglob("*"))
    run(["bench", *flags], Project("lit_project", configs, lambda: Parts(model, data)))
    assert sorted(Path().rglob("*")) == before
    return rows_of(capsys.readouterr().out)


def rows_of(text):
    assert max(len(line) for line in text.splitlines() if " on " not in line) <= 80  # hosts have names of any length
    rows = {name.strip(): float(number) for name, number in re.findall(r"^(.{13}) *(\d+\.\d+) +[\d.]+%", text, re.M)}
    assert set(ROWS) <= set(rows)
    assert sum(rows.values()) == pytest.approx(2 * rows["in all"], abs=0.01)
    return rows, text


def test_project_s_own_training_is_measured(capsys):
    before = sorted(Path().rglob("*"))
    main(["bench", "--trainer.accelerator=cpu", "--trainer.max_epochs=100000"])
    rows, text = rows_of(capsys.readouterr().out)
    assert all(rows[part] > 0 for part in ("data", "forward", "backward", "optimizer"))
    assert re.search(r"^speed +[\d,]+ samples/s", text, re.M)
    assert re.search(r"^FLOPs +\d.*FLOP a step", text, re.M)
    assert re.search(r"^memory +.* of the process", text, re.M)
    assert re.search(r"^advice +\S", text, re.M)
    assert sorted(Path().rglob("*")) == before


# Sleeps are the longest parts by far; bounds are below them, because rows are scaled to add up to a step of fit.
class SleepingData(Data):
    class Rows(Dataset):
        def __len__(self):
            return 64000

        def __getitem__(self, index):
            time.sleep(0.001)
            return torch.randn(8), torch.randn(1)

    def dataset(self):
        return self.Rows()


def test_data_that_is_waited_for(capsys):
    rows, text = printed(capsys, Net, SleepingData)
    assert rows["data"] >= 6
    assert "loader-bound: --data.num_workers" in text
    rows, text = printed(capsys, Net, SleepingData, "--data.num_workers=1")
    assert "loader-bound: more workers than 1" in text


class StartingWorkers(SleepingData):
    def train_dataloader(self):
        return DataLoader(Subset(self.dataset(), range(32)), 8, num_workers=self.num_workers)


def test_workers_that_start_with_each_epoch(capsys):
    _, text = printed(capsys, Net, StartingWorkers, "--data.num_workers=1")
    assert "persistent_workers=True" in text


class Validated(Net):
    def validation_step(self, batch, batch_idx):
        time.sleep(0.1)


class ValidatedData(Data):
    def val_dataloader(self):
        return self.train_dataloader()


def test_validations_that_are_long(capsys):
    rows, text = printed(capsys, Validated, ValidatedData)
    assert rows["epoch ends"] >= 75
    assert "bound by validation: --trainer.check_val_every_n_epoch" in text


class SlowOptimizer(torch.optim.SGD):
    def step(self, closure=None):
        loss = super().step(closure)
        time.sleep(0.02)
        return loss


class SlowlyOptimized(Net):
    def configure_optimizers(self):
        return SlowOptimizer(self.parameters(), 1e-3)


def test_optimizer_that_is_slow(capsys):
    rows, text = printed(capsys, SlowlyOptimized)
    assert rows["optimizer"] >= 15
    assert "optimizer-bound" in text


class SlowMetric(torchmetrics.MeanMetric):
    def update(self, value):
        time.sleep(0.02)
        super().update(value)


class Logged(Net):
    """A dict that the step takes apart, a metric, and no batch_idx."""

    def __init__(self, width: int = 4):
        super().__init__(width)
        self.mean = SlowMetric()

    def training_step(self, batch):
        loss = super().training_step((batch["x"], batch.pop("y")), 0)
        self.mean(loss.detach())
        self.log("mean", self.mean)
        return {"loss": loss}


class DictStream(Data):
    class Samples(IterableDataset):
        def __iter__(self):
            return iter([{"x": torch.randn(8), "y": torch.randn(1)}] * 24)

    def dataset(self):
        return self.Samples()


def test_metrics_that_are_slow_in_dict_batches_of_a_stream(capsys):
    rows, text = printed(capsys, Logged, DictStream)
    assert rows["logging"] >= 15
    assert rows["forward"] < 15
    assert "bound by metrics" in text


class Adversaries(pl.LightningModule):
    def __init__(self, width: int = 4):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = nn.Linear(8, 8), nn.Linear(8, width)

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            self.toggle_optimizer(optimizer)
            loss = self.critic(self.generator(batch[0])).mean()
            time.sleep(0.01)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)
            self.log_dict({"loss": loss}, prog_bar=True)

    def configure_optimizers(self):
        return SlowOptimizer(self.generator.parameters(), 1e-3), SlowOptimizer(self.critic.parameters(), 1e-3)


def test_optimization_by_hand_is_taken_apart(capsys):
    rows, _ = printed(capsys, Adversaries)
    assert rows["forward"] >= 15
    assert rows["optimizer"] >= 30
    assert 0 < rows["backward"] < rows["forward"]


class WithClosure(Net):
    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), 1e-3, max_iter=2)


class WithoutNetwork(Net):
    def __init__(self, width: int = 4):
        super().__init__(width)
        del self.net
        self.weight = nn.Parameter(torch.zeros(8, 1))

    def net(self, inputs):
        return inputs @ self.weight


@pytest.mark.parametrize("model", [WithClosure, WithoutNetwork])
@pytest.mark.parametrize("flags", [[], ["--trainer.accumulate_grad_batches=3", "--trainer.gradient_clip_val=1"]])
def test_any_module_is_measured(capsys, model, flags):
    rows, text = printed(capsys, model, Data, *flags)
    assert rows["forward"] > 0
    assert ("unknown" in text) == (model is WithoutNetwork)


class SlowAtTimes(Net):
    seconds = 0.0

    def training_step(self, batch, batch_idx):
        time.sleep(self.seconds)
        return super().training_step(batch, batch_idx)


def test_machine_that_is_busy_at_times_is_told(capsys, monkeypatch):
    def run_slower(self, seconds):
        self.module.seconds = 0.02 * (len(self.turns) % 2)
        run_turn(self, seconds)

    run_turn = PlainLoop.run
    monkeypatch.setattr(PlainLoop, "run", run_slower)
    assert re.search(r"^noise +computing took [\d.]+ times", printed(capsys, SlowAtTimes)[1], re.M)


class Several(Data):
    def train_dataloader(self):
        return {"one": super().train_dataloader(), "other": super().train_dataloader()}


class OfSeveral(Net):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch["one"], batch_idx) + super().training_step(batch["other"], batch_idx)


def test_several_loaders(capsys):
    assert printed(capsys, OfSeveral, Several)[0]["data"] > 0


class Tokens(Data):
    def dataset(self):
        return TensorDataset(torch.randint(5, (64, 7)))


class OfTokens(Net):
    def training_step(self, batch, batch_idx):
        return self.net(torch.randn(8, 8)).mean()


def test_integer_sequences_have_tokens(capsys):
    _, text = printed(capsys, OfTokens, Tokens)
    samples, tokens = re.search(r"([\d,]+) samples/s, ([\d,]+) tokens/s", text).groups()
    assert int(tokens.replace(",", "")) == pytest.approx(7 * int(samples.replace(",", "")), rel=0.01)


class FetchesItself(Net):
    def training_step(self, dataloader_iter):
        return super().training_step(next(dataloader_iter)[0], 0)


@pytest.mark.parametrize(
    ("model", "flags", "words"),
    [
        (Net, ["--trainer.devices=2", "--trainer.strategy=ddp"], "--trainer.devices 1"),
        (Net, ["--trainer.max_steps=2"], "the training ends at step 2"),
        (Net, ["--run=one"], "--config runs/NAME/config.yaml"),
        (FetchesItself, [], "fetches its batches itself"),
    ],
)
def test_what_cannot_be_measured_is_told(capsys, model, flags, words):
    with pytest.raises(SystemExit):
        printed(capsys, model, Data, *flags)
    assert words in capsys.readouterr().err
    assert sorted(os.listdir()) == ["configs", "data"]


def test_settings_of_a_run_are_a_configuration(capsys):
    main(["fit", "--run=one", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.accelerator=cpu"])
    before = {path: path.stat().st_mtime for path in Path("runs").rglob("*")}
    capsys.readouterr()
    longer = ["--trainer.max_epochs=100000", "--trainer.limit_train_batches=null"]
    main(["bench", "--config=runs/one/config.yaml", *longer])
    rows_of(capsys.readouterr().out)
    assert {path: path.stat().st_mtime for path in Path("runs").rglob("*")} == before


def test_ends_of_epochs_are_apart():
    assert whole_and_between([(1.0, False)] * 3, 0.0) == (1.0, None)
    assert whole_and_between([(1.0, False)] * 3 + [(5.0, True)], 0.0) == (1.0, 1.0)
    # An epoch in each step: nothing but its validation can be told from it.
    assert whole_and_between([(3.0, True)] * 4, 4.0) == (2.0, 1.0)


def test_parts_on_an_accelerator_are_what_it_waits_for(capsys, monkeypatch):
    """On the CPU nothing is hidden: there the two looks at an accelerator see what the plain loop has seen."""
    looks = []
    parts_on_device = PlainLoop.parts_on_device

    def parts(self):
        on_host = {part: seconds / self.done for part, seconds in self.seconds.items()}
        looks.append((on_host, *parts_on_device(self, on_host)))
        return on_host

    monkeypatch.setattr(PlainLoop, "parts", parts)
    printed(capsys, SlowlyOptimized, SleepingData)
    [(on_host, on_device, host)] = looks
    assert 0 < on_device["data"] <= on_host["data"]
    assert on_device["optimizer"] == pytest.approx(on_host["optimizer"], rel=0.5)
    assert host > 0.9


def test_numbers_are_readable():
    assert [scaled(number) for number in (0, 999, 1500, 2.5e9, 989e12)] == ["0 ", "999 ", "1.5 K", "2.5 G", "989 T"]
