"""Resuming: signals, and another number of processes."""

import json
import random
import signal
import weakref
from collections import deque
from fractions import Fraction
from types import SimpleNamespace

import numpy
import pytest
import pytorch_lightning as pl
import torch
from conftest import last
from lit_project.__main__ import main
from lit_project.data import DataModule
from lit_project.engine.training import signals
from lit_project.engine.training.batches import Batches
from lit_project.engine.training.remembered import Memory
from lit_project.engine.training.stream import Stream
from lit_project.model import Model
from pytorch_lightning.utilities import CombinedLoader
from stopping import assert_same, stopped_and_untouched


def test_second_signal_is_not_kept_waiting(monkeypatch):
    sent = []
    monkeypatch.setattr(signals.os, "kill", lambda process, signum: sent.append(signum))
    monkeypatch.setattr(signals.signal, "signal", lambda signum, handler: handler)
    watch = signals.SignalWatch()
    watch._receive(signal.SIGINT, None)
    assert watch.received == signal.SIGINT
    assert not sent
    watch._receive(signal.SIGINT, None)
    assert sent == [signal.SIGINT]


def test_other_number_of_processes_goes_on_and_says_what_changes(short, stop_at, capfd):
    stop_at(2)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--run", "one", *short])
    assert stopped.value.code == 128 + signal.SIGINT
    checkpoint = last("one")
    checkpoint["resume"]["processes"] = 2
    torch.save(checkpoint, "runs/one/checkpoints/last.ckpt")
    main(["fit", "--run", "one"])
    assert "Saved by 2 processes, goes on with 1: batches stay the same" in capfd.readouterr().err
    assert last("one")["resume"]["finished"]


def test_schedule_that_is_stepped_after_each_epoch_loses_no_step(short, stop_at):
    plateau = "pytorch_lightning.cli.ReduceLROnPlateau"
    settings = {"class_path": plateau, "init_args": {"monitor": "train/loss", "patience": 0, "threshold": 1e9}}
    flags = [*short, "--trainer.max_epochs=4", f"--model.lr_scheduler={json.dumps(settings)}"]
    untouched, stopped = stopped_and_untouched(stop_at, *flags)
    assert untouched["lr_schedulers"][0]["last_epoch"] == 4
    assert_same(untouched, stopped)


class Thaw(pl.Callback):
    """Freezes the network's first part, and trains it from the second epoch on."""

    def setup(self, trainer, pl_module, stage):
        pl_module.network.features.requires_grad_(False)

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            pl_module.network.features.requires_grad_(True)


def test_what_is_frozen_stays_as_it_was(short, stop_at):
    flags = [*short, "--trainer.max_epochs=4"]
    assert_same(*stopped_and_untouched(stop_at, *flags, callbacks=[Thaw()]))


def test_gradients_of_a_manual_accumulation_are_not_lost(short, stop_at, monkeypatch):
    def gather_three(self, batch, batch_idx):
        self.manual_backward(self.objective(self(batch[0]), batch[1]))
        if batch_idx % 3 == 2:
            self.optimizers().step()
            self.optimizers().zero_grad()

    monkeypatch.setattr(Model, "automatic_optimization", False)
    monkeypatch.setattr(Model, "training_step", gather_three)
    untouched, stopped = stopped_and_untouched(stop_at, *short, "--best_checkpoint=null")
    assert untouched["global_step"] == 2
    assert_same(untouched, stopped)


def test_warmup_of_a_training_without_a_length_is_refused(short, monkeypatch, refused):
    loader = torch.utils.data.DataLoader(Endless(), batch_size=8)
    monkeypatch.setattr(DataModule, "train_dataloader", lambda self: loader)
    flags = [flag for flag in short if "limit_train_batches" not in flag]
    assert "try: --trainer.max_steps" in refused("fit", *flags)


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        while True:
            yield torch.rand(1, 8, 8), 0


class Stateful(torch.utils.data.DataLoader):
    """A loader that nobody here wrote; as torchdata's, it begins anew if it is given its state twice."""

    told = 0
    given = 0
    first = 0

    def __iter__(self):
        self.told, self.given, first, self.first = 0, self.first, self.first, 0
        for batch in list(super().__iter__())[first:]:
            self.given += 1
            yield batch

    def state_dict(self):
        return {"given": self.given}

    def load_state_dict(self, state):
        self.told += 1
        self.first = state["given"] if self.told == 1 else 0


@pytest.mark.parametrize(
    "schedule",
    [
        {"class_path": "WarmupCosine", "init_args": {"warmup": 0.1, "floor": 0.0}},
        {"class_path": "torch.optim.lr_scheduler.ConstantLR", "init_args": {"factor": 1.0}},
    ],
    ids=["asks for the number of steps", "does not"],
)
def test_loader_with_a_state_of_its_own_is_given_it_once(short, stop_at, monkeypatch, capfd, schedule):
    numbers = []

    def train_dataloader(self):
        images = torch.arange(10.0).view(10, 1, 1, 1).expand(10, 1, 8, 8)
        dataset = torch.utils.data.TensorDataset(images, torch.zeros(10, dtype=torch.int64))
        return Stateful(dataset, batch_size=1)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        numbers.append(int(batch[0][0, 0, 0, 0]))
        return batch

    monkeypatch.setattr(DataModule, "train_dataloader", train_dataloader)
    monkeypatch.setattr(DataModule, "on_after_batch_transfer", on_after_batch_transfer)
    flags = [flag for flag in short if "limit_train_batches" not in flag and "limit_val" not in flag]
    flags += ["--trainer.max_epochs=1", "--trainer.limit_val_batches=0", "--best_checkpoint=null"]
    flags += ["--early_stopping=null", f"--model.lr_scheduler={json.dumps(schedule)}"]
    stop_at(5)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "stopped", *flags])
    assert "without the batch that had begun" in capfd.readouterr().err
    stop_at(10_000)
    numbers.clear()
    main(["fit", "--run", "stopped", *flags])
    # Batch 5 had been fetched when the training was stopped, so the loader goes on behind it.
    assert numbers == [6, 7, 8, 9]


class Numbers(torch.utils.data.Dataset):
    """Pictures and classes that tell which sample they are of."""

    def __init__(self, first, count):
        self.first = first
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.full((1, 8, 8), float(self.first + index)), 0

    def __iter__(self):
        return map(self.__getitem__, range(self.count))


@pytest.fixture
def seen(monkeypatch):
    """The numbers of the samples of each training batch, by the names of several loaders, None where there is none."""
    batches = []

    def split(self, batch):
        batches.append({name: part and part[0][:, 0, 0, 0].tolist() for name, part in batch.items()})
        return next(part for part in batch.values() if part)

    def train_dataloader(self):
        return CombinedLoader(
            {
                "long": Batches(Numbers(0, 14), 2, shuffle=True),
                "short": Batches(Numbers(100, 4), 2, shuffle=True),
                "stream": Stream(Numbers(200, 5), 2, batches_per_epoch=3),
            },
            request_mode,
        )

    def use(mode):
        nonlocal request_mode
        request_mode = mode
        return batches

    request_mode = ""
    monkeypatch.setattr(Model, "split", split)
    monkeypatch.setattr(DataModule, "train_dataloader", train_dataloader)
    monkeypatch.setattr(DataModule, "on_after_batch_transfer", lambda self, batch, index: batch)
    return use


@pytest.mark.parametrize(
    ("mode", "batches_seen", "places"),
    [("max_size_cycle", 14, [2, 5, 10]), ("min_size", 4, [3]), ("max_size", 14, [4])],
)
def test_several_loaders_go_on_each_at_its_own_place(short, stop_at, seen, mode, batches_seen, places):
    batches = seen(mode)
    flags = [flag for flag in short if "limit_train_batches" not in flag]
    flags += ["--trainer.limit_val_batches=0", "--best_checkpoint=null", "--early_stopping=null"]
    main(["fit", "--run", "untouched", *flags])
    untouched = batches.copy()
    assert len(untouched) == batches_seen
    for place in places:
        batches.clear()
        stop_at(place)
        with pytest.raises(SystemExit):
            main(["fit", "--run", f"stopped-{place}", *flags])
        stop_at(10_000)
        main(["fit", "--run", f"stopped-{place}", *flags])
        assert batches == untouched, place
        assert_same(last("untouched"), last(f"stopped-{place}"))


def test_step_is_repeatable_whatever_loader_its_batch_comes_from(short, stop_at, monkeypatch):
    """Augmentation, dropout and what a step draws: from a loader that seeds nothing, and begins each epoch anew."""
    drawn = []

    def train_dataloader(self):
        return torch.utils.data.DataLoader(Numbers(0, 8), batch_size=2)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        if self.trainer.training:
            drawn.append((batch[0][:, 0, 0, 0].tolist(), torch.rand(()).item(), random.random()))
        return batch

    monkeypatch.setattr(DataModule, "train_dataloader", train_dataloader)
    monkeypatch.setattr(DataModule, "on_after_batch_transfer", on_after_batch_transfer)
    flags = [flag for flag in short if "limit_train_batches" not in flag]
    main(["fit", "--run", "untouched", *flags])
    untouched = drawn.copy()
    drawn.clear()
    stop_at(4)  # the beginning of the second epoch
    with pytest.raises(SystemExit):
        main(["fit", "--run", "stopped", *flags])
    random.seed()
    torch.seed()
    stop_at(10_000)
    del drawn[4:]  # the batch that had begun
    main(["fit", "--run", "stopped", *flags])
    assert drawn == untouched
    assert_same(last("untouched"), last("stopped"))


class Remembers(pl.Callback):
    """Keeps what no state_dict holds, and lets it decide how much is trained."""

    def __init__(self):
        self.count = 0
        self.seen = deque(maxlen=3)
        self.generator = numpy.random.default_rng(0)
        self.setting = "of today"

    def on_train_epoch_start(self, trainer, pl_module):
        pl_module.network.eval()
        pl_module.network.factor = trainer.current_epoch + 1.0
        pl_module.average = torch.zeros(2)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.count += 1
        self.seen.append({"mean": batch[0].mean(), "number": self.count})
        pl_module.average += self.generator.random()
        with torch.no_grad():
            for weight in pl_module.network.parameters():
                weight += 1e-3 * pl_module.network.factor * pl_module.average[0] * len(self.seen) * self.seen[0]["mean"]


def test_what_is_remembered_in_plain_attributes_goes_on(short, stop_at, capfd):
    main(["fit", "--run", "untouched", *short], callbacks=[Remembers()])
    stop_at(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "stopped", *short], callbacks=[Remembers()])
    stop_at(10_000)
    later = Remembers()
    later.setting = "of tomorrow"
    main(["fit", "--run", "stopped", *short], callbacks=[later])
    assert_same(last("untouched"), last("stopped"))
    assert "no checkpoint can hold it" not in capfd.readouterr().err
    assert later.count == 6
    assert later.setting == "of tomorrow"


def test_what_no_checkpoint_can_remember_is_told(short, stop_at, capfd):
    class Forgets(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.share = Fraction(batch_idx, 2)
            pl_module.frame = memoryview(bytes(batch_idx))
            pl_module.optimizer_of_step = pl_module.optimizers()

    stop_at(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "one", *short], callbacks=[Forgets()])
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "no checkpoint can hold it" in line)
    assert sorted(line.partition(": changes")[0].split(", ")) == ["Forgets.share", "model.frame"]


def test_what_has_changed_is_not_kept_alive(parts):
    model, _ = parts
    memory = Memory(SimpleNamespace(datamodule=None, callbacks=[]), model)
    model.last_batch = torch.zeros(3)
    gone = weakref.ref(model.last_batch)
    assert set(memory.changed()[0]) == {"model.last_batch"}
    model.last_batch = None
    assert gone() is None
