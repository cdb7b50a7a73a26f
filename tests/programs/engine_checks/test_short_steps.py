"""Short steps: the weights, the metrics and the checkpoints that Lightning's own steps give, and only where they do."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import last, same
from lit_project.__main__ import main
from lit_project.engine.training import short_steps
from lit_project.engine.training.module import EngineModule
from lit_project.engine.training.short_steps import Steps, reasons_against

SMALL = ("--trainer.max_epochs=2", "--trainer.limit_train_batches=9", "--trainer.limit_val_batches=2")
FLAGS = {
    "default": [],
    "each step logged": ["--trainer.log_every_n_steps=1"],
    "never logged": ["--trainer.log_every_n_steps=0"],
    "clipped": ["--trainer.gradient_clip_val=0.1"],
    "validated in between": ["--trainer.val_check_interval=4"],
    "validated across epochs": ["--trainer.val_check_interval=7", "--trainer.check_val_every_n_epoch=null"],
    "ends in the middle": ["--trainer.max_steps=13"],
    "accumulated": ["--trainer.accumulate_grad_batches=2"],
    "preset cpu": ["--preset=cpu"],
    "preset ema": ["--preset=ema"],
    "preset bf16": ["--preset=bf16"],
    "preset fp16": ["--preset=fp16"],
    "preset compile": ["--preset=compile"],
    "preset debug-nan": ["--preset=debug-nan"],
    "preset debug-overfit": ["--preset=debug-overfit", "--trainer.check_val_every_n_epoch=1", "--trainer.max_epochs=9"],
    "workers": ["--data.num_workers=2"],
    "sgd": ["--model.optimizer.class_path=torch.optim.SGD", "--model.optimizer.init_args.lr=0.1"],
    "frozen": ["--freeze.modules=[network.features]", "--freeze.until_epoch=1"],
    "often saved": ["--last_checkpoint.every_n_steps=2"],
    "best by steps": ["--best_checkpoint.every_n_train_steps=3", "--best_checkpoint.monitor=train/loss"],
}


@pytest.fixture
def count(monkeypatch):
    """How many steps were short; without a loss that is logged for the sake of the clock."""
    monkeypatch.setattr(short_steps, "BETWEEN_LOOKS", 1e9)
    counted = []
    step = Steps._step
    monkeypatch.setattr(Steps, "_step", lambda self, fetcher: (counted.append(1), step(self, fetcher))[1])
    return counted


def without_callbacks(checkpoint):
    """All but what callbacks keep, where the run's name stands."""
    return {name: value for name, value in checkpoint.items() if name != "callbacks"}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_short_steps_give_what_lightning_s_give(count, flags):
    for run in ("short", "full"):
        main(["fit", f"--run={run}", *SMALL, *flags, f"--short_steps={str(run == 'short').lower()}"])
        assert bool(count) == ("--trainer.accumulate_grad_batches=2" not in flags)
    short, full = (without_callbacks(last(run)) for run in ("short", "full"))
    assert short.keys() == full.keys()
    for part in short:
        assert same(short[part], full[part]), part
    files = [Path("runs", run, "metrics.csv").read_bytes() for run in ("short", "full")]
    assert files[0] == files[1]


class Looks(pl.Callback):
    """Reads after each step what the steps before have logged."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append((trainer.callback_metrics.get("train/loss"), outputs["loss"], batch_idx))


def test_whoever_looks_at_each_step_sees_each_loss(count):
    seen = []
    for short in ("true", "false"):
        looks = Looks()
        main(["fit", f"--run={short}", *SMALL, f"--short_steps={short}"], [looks])
        seen.append(looks.seen)
    assert len(count) > 10
    assert len(seen[0]) == 18
    assert same(*seen)


class LogsMeans(pl.Callback):
    """Logs means of an epoch from two hooks, between which Lightning's first step would forget what was logged."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        pl_module.log("train/before", float(batch_idx), on_step=False, on_epoch=True, batch_size=1)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        pl_module.log("train/after", float(batch_idx), on_step=False, on_epoch=True, batch_size=1)


def test_means_that_callbacks_log_have_each_step(count):
    for short in ("true", "false"):
        main(["fit", f"--run={short}", *SMALL, f"--short_steps={short}"], [LogsMeans()])
    files = [Path("runs", run, "metrics.csv").read_text() for run in ("true", "false")]
    assert count
    assert "train/before" in files[0]
    assert files[0] == files[1]


@pytest.mark.parametrize("name", ["i", "batch_idx"])
def test_step_has_its_number_whatever_it_calls_it(count, monkeypatch, name):
    from lit_project.model import Model

    numbers = []
    seen = {"numbers": numbers}
    exec(f"def step(self, batch, {name}):\n    numbers.append({name})\n    return self.step(batch, 'train')", seen)
    monkeypatch.setattr(Model, "training_step", seen["step"])
    main(["fit", "--run=one", *SMALL])
    assert count
    assert numbers == [*range(9)] * 2


def test_batch_of_nothing_is_left_out_of_a_short_step(count, monkeypatch):
    """As a collate function gives it that found no sample to use."""
    from lit_project.engine.training.batches import Batches

    fetched = Batches.__iter__

    def with_a_gap(self):
        for number, batch in enumerate(fetched(self)):
            yield None if number == 4 and self.batch_sampler.seed == 0 and len(self) > 2 else batch

    monkeypatch.setattr(Batches, "__iter__", with_a_gap)
    monkeypatch.setattr("lit_project.data.DataModule.on_after_batch_transfer", lambda self, batch, number: batch)
    for short in ("true", "false"):
        main(["fit", f"--run={short}", *SMALL, f"--short_steps={short}"])
    assert count
    one, other = (without_callbacks(last(run)) for run in ("true", "false"))
    assert one["global_step"] == 16
    assert same(one["state_dict"], other["state_dict"])
    assert same(one["loops"], other["loops"])


class Hook(pl.Callback):
    def on_after_backward(self, trainer, pl_module):
        pl_module.seen = True


class Reasons(pl.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.reasons = reasons_against(trainer, pl_module)


def reasons(*flags, callbacks=()):
    found = Reasons()
    main(["fit", "--trainer.fast_dev_run=1", *flags], [*callbacks, found])
    return found.reasons


def test_default_training_has_no_reason_against_short_steps():
    assert reasons() == []


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--trainer.precision=bf16-true"], "another precision"),
        (["--trainer.profiler=simple"], "a profiler"),
        (["--preset=ddp-cpu", "--trainer.devices=1"], "another strategy"),
    ],
)
def test_reasons_for_lightning_s_own_steps(flags, reason):
    assert reason in reasons(*flags)


def test_callback_with_a_hook_that_is_left_out_has_lightning_s_steps():
    assert reasons(callbacks=[Hook()]) == ["on_after_backward of Hook"]


@pytest.mark.parametrize("hook", short_steps.OF_MODELS)
def test_model_with_a_hook_that_is_left_out_has_lightning_s_steps(monkeypatch, hook):
    from lit_project.model import Model

    inherited = getattr(Model, hook)
    monkeypatch.setattr(Model, hook, lambda self, *args, **kwargs: inherited(self, *args, **kwargs), raising=False)
    assert f"{hook} of the model" in reasons()


def test_another_lightning_has_its_own_steps(monkeypatch, count):
    monkeypatch.setattr(short_steps, "WRITTEN_FOR", 1)
    main(["fit", "--run=one", *SMALL])
    assert not count
    assert last("one")["global_step"] == 18


def test_lightning_is_the_one_that_short_steps_are_written_for():
    assert short_steps.fingerprint() == short_steps.WRITTEN_FOR


def test_training_by_hand_afterwards_has_lightning_s_steps(count, parts):
    """The loop of a Trainer is left as it was."""
    main(["fit", "--run=one", *SMALL])
    assert count
    count.clear()
    pl.Trainer(max_steps=3, logger=False, enable_checkpointing=False).fit(*parts)
    assert not count


@pytest.mark.parametrize(("seconds", "logged"), [(1e9, 4), (-1, 18)])
def test_loss_is_logged_where_it_is_read_or_after_a_while(monkeypatch, seconds, logged):
    names = []
    log = EngineModule._log
    monkeypatch.setattr(short_steps, "BETWEEN_LOOKS", seconds)
    spy = lambda self, name, *args, **options: (names.append(name), log(self, name, *args, **options))  # noqa: E731
    monkeypatch.setattr(EngineModule, "_log", spy)
    main(["fit", "--run=one", *SMALL, "--trainer.log_every_n_steps=0"])
    assert names.count("train/loss") == logged


def test_loss_is_logged_in_the_step_that_ends_a_training(count, monkeypatch):
    from lit_project.model import Model

    step = Model.step

    def ends(self, batch, stage):
        self.trainer.should_stop = stage == "train" and self.global_step == 5
        return step(self, batch, stage)

    monkeypatch.setattr(Model, "step", ends)
    for short in ("true", "false"):
        main(["fit", f"--run={short}", *SMALL, f"--short_steps={short}"])
    files = [Path("runs", run, "metrics.csv").read_text() for run in ("true", "false")]
    assert "5," in files[0]
    assert files[0] == files[1]


def test_loss_that_is_no_number_stops_a_short_step(count, capfd, monkeypatch):
    from lit_project.objective import Objective

    forward = Objective.forward
    calls = []

    def broken(self, outputs, targets):
        calls.append(1)
        return forward(self, outputs, targets) * (float("nan") if len(calls) == 6 else 1.0)

    monkeypatch.setattr(Objective, "forward", broken)
    with pytest.raises(SystemExit):
        main(["fit", "--run=one", *SMALL, "--trainer.num_sanity_val_steps=0"])
    assert "the loss is nan at step" in capfd.readouterr().err
    assert count
    assert not torch.cuda.is_initialized()
