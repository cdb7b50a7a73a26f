"""Resuming: signals, and another number of processes."""

import json
import signal

import pytest
import pytorch_lightning as pl
import torch
from conftest import last, same
from lit_project.__main__ import main
from lit_project.data import DataModule
from lit_project.engine.training import signals
from lit_project.model import Model


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


def stopped_twice_and_untouched(stop_at, *flags, **options):
    """The last checkpoints of a training that nobody touched, and of one that was stopped and went on twice."""
    main(["fit", "--run", "untouched", *flags], **options)
    for batch in (1, 2):
        stop_at(batch)
        with pytest.raises(SystemExit):
            main(["fit", "--run", "stopped", *flags], **options)
    stop_at(10_000)
    main(["fit", "--run", "stopped", *flags], **options)
    return last("untouched"), last("stopped")


def assert_same(untouched, stopped):
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert same(untouched[part], stopped[part]), part


def test_schedule_that_is_stepped_after_each_epoch_loses_no_step(short, stop_at):
    plateau = "pytorch_lightning.cli.ReduceLROnPlateau"
    settings = {"class_path": plateau, "init_args": {"monitor": "train/loss", "patience": 0, "threshold": 1e9}}
    flags = [*short, "--trainer.max_epochs=4", f"--model.lr_scheduler={json.dumps(settings)}"]
    untouched, stopped = stopped_twice_and_untouched(stop_at, *flags)
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
    assert_same(*stopped_twice_and_untouched(stop_at, *flags, callbacks=[Thaw()]))


def test_gradients_of_a_manual_accumulation_are_not_lost(short, stop_at, monkeypatch):
    def gather_three(self, batch, batch_idx):
        self.manual_backward(self.objective(self(batch[0]), batch[1]))
        if batch_idx % 3 == 2:
            self.optimizers().step()
            self.optimizers().zero_grad()

    monkeypatch.setattr(Model, "automatic_optimization", False)
    monkeypatch.setattr(Model, "training_step", gather_three)
    untouched, stopped = stopped_twice_and_untouched(stop_at, *short, "--best_checkpoint=null")
    assert untouched["global_step"] == 2
    assert_same(untouched, stopped)


def test_warmup_of_a_training_without_a_length_is_refused(short, monkeypatch, refused):
    loader = torch.utils.data.DataLoader(Endless(), batch_size=8)
    monkeypatch.setattr(DataModule, "train_dataloader", lambda self: loader)
    flags = [flag for flag in short if "limit_train_batches" not in flag]
    assert "try: give --trainer.max_steps" in refused("fit", *flags)


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
