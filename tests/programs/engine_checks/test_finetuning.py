"""Frozen parts, learning rates by part, and schedules of several groups: each to the last bit after a resume."""

import csv
import json
import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import last, same
from lit_project.__main__ import main
from lit_project.engine.errors import RunError
from lit_project.engine.training.freezing import Freeze
from lit_project.engine.training.parameter_groups import in_groups
from lit_project.engine.training.schedules import WarmupCosine, stepping
from lit_project.model import Model
from lit_project.network import Network
from stopping import assert_same, stopped_and_untouched
from torch import nn

FEATURES = "--freeze.modules=[network.features]"


class Watch(pl.Callback):
    """What is trained in each batch: whether the features changed, and whether their normalisation is in training."""

    def __init__(self):
        self.changed, self.modes = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.before = self.features(pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.changed.append(not same(self.before, self.features(pl_module)))
        self.modes += [layer.training for layer in pl_module.modules() if isinstance(layer, nn.BatchNorm2d)]

    @staticmethod
    def features(module):
        return {name: value.clone() for name, value in module.network.features.state_dict().items()}


@pytest.mark.parametrize(
    ("flags", "first_trained"),
    [([], 6), (["--freeze.until_epoch=1"], 3), (["--freeze.until_step=4"], 4)],
    ids=["for good", "until an epoch", "until a step"],
)
def test_frozen_part_stays_as_it_is_until_its_time_with_its_normalisation(short, monkeypatch, flags, first_trained):
    def normalised(self, width, dropout):
        nn.Module.__init__(self)
        self.features = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, width), nn.Dropout(dropout))
        self.head = nn.Linear(width, 10)

    monkeypatch.setattr(Network, "__init__", normalised)
    watch = Watch()
    constant = '--model.lr_scheduler={"class_path": "torch.optim.lr_scheduler.ConstantLR", "init_args": {"factor": 1}}'
    main(["fit", *short, FEATURES, *flags, constant], callbacks=[watch])
    assert watch.changed == [batch >= first_trained for batch in range(6)]
    assert watch.modes == watch.changed


@pytest.mark.parametrize(
    "flags",
    [["--freeze.until_epoch=1"], ["--freeze.until_step=3", "--preset=ema"]],
    ids=["until an epoch", "until a step, averaged"],
)
def test_part_that_is_frozen_for_some_time_resumes_exactly(short, stop_at, flags):
    # Stopped while it is frozen, twice at the batch in which it begins to train, and after that.
    flags = [*short, "--trainer.max_epochs=3", FEATURES, *flags]
    untouched, stopped = stopped_and_untouched(stop_at, *flags, batches=(1, 2, 0, 2))
    assert_same(untouched, stopped)
    states = untouched["optimizer_states"][0]["state"].values()
    assert {int(state["step"]) for state in states} == {9, 6}


def test_parts_may_begin_to_train_one_after_the_other(short):
    stages = [
        {"class_path": "Freeze", "init_args": {"modules": [f"network.features.{number}"], "until_epoch": epoch}}
        for number, epoch in ((0, 2), (1, 1))
    ]
    main(["fit", "--run", "one", *short, "--trainer.max_epochs=3", f"--trainer.callbacks={json.dumps(stages)}"])
    steps = [int(state["step"]) for state in last("one")["optimizer_states"][0]["state"].values()]
    assert sorted(set(steps)) == [3, 6, 9]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ["--freeze.modules=[network.featurs]"],
            "no parameters in 'network.featurs'; the names most like it: network.f",
        ),
        (["--freeze.modules=[network]"], "nothing is left to train: all of the model is frozen by network"),
        (
            ["--model.lr_factors={network.haed: 0.1}"],
            "no parameters in 'network.haed'; the names most like it: network.h",
        ),
        (["--model.lr_factors={network.head: 0}"], "network.head is 0.0, and not above 0"),
    ],
    ids=["unknown to freeze", "all frozen", "unknown factor", "factor of 0"],
)
def test_wrong_part_is_refused_in_one_line(short, refused, flags, told):
    assert told in refused("fit", *short, *flags)
    assert told in refused("fit", *short, *flags, "--trainer.fast_dev_run=true")


def test_optimizer_without_the_frozen_part_is_refused_if_it_is_to_train_later(short, monkeypatch, refused):
    monkeypatch.setattr(Model, "configure_optimizers", head_alone)
    told = refused("fit", *short, FEATURES, "--freeze.until_epoch=1", "--trainer.logger=false")
    assert "no optimizer has the parameters of network.features" in told
    main(["fit", *short, FEATURES])  # for good


def head_alone(self):
    optimizer = self.optimizer([weight for weight in self.parameters() if weight.requires_grad])
    return {"optimizer": optimizer, "lr_scheduler": stepping(self.lr_scheduler(optimizer), self)}


def test_training_in_which_nothing_is_trained_is_refused(short, monkeypatch, refused):
    monkeypatch.setattr(Model, "setup", lambda self, stage: self.requires_grad_(False))
    assert "nothing is trained" in refused("fit", *short, "--trainer.logger=false")


def test_part_of_the_model_has_a_fraction_of_the_learning_rate_and_a_name_in_the_log(short, stop_at, refused):
    factors = "--model.lr_factors={network: 0.5, network.features: 0.1}"
    untouched, stopped = stopped_and_untouched(stop_at, *short, factors)
    assert_same(untouched, stopped)
    groups = untouched["optimizer_states"][0]["param_groups"]
    assert {group["name"]: group["initial_lr"] for group in groups} == pytest.approx(
        {"network": 0.0015, "network.features": 0.0003}
    )
    assert sum(len(group["params"]) for group in groups) == len(untouched["state_dict"])
    with Path("runs/untouched/metrics.csv").open(newline="") as file:
        assert {"lr-AdamW/network", "lr-AdamW/network.features"} < set(csv.DictReader(file).fieldnames)


def test_checkpoint_with_other_groups_is_refused(short, stop_at, refused):
    stop_at(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "one", *short, "--model.lr_factors={network.features.0: 0.1}"])
    told = refused("fit", "--run", "one", "--model.lr_factors={network.features.1: 0.1}")
    assert "['others', 'network.features.0'], and this training has ['others', 'network.features.1']" in told
    assert "began with model.lr_factors" in refused("fit", "--run", "one", "--model.lr_factors=null")
    other = ["--run", "two", "--ckpt_path", "runs/one/checkpoints/last.ckpt", "--model.lr_factors=null"]
    assert "another optimizer or other groups" in refused("fit", *other, *short)


def test_innermost_factor_counts_and_all_parameters_are_in_one_group_each():
    module = nn.ModuleDict({"a": nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), "b": nn.Linear(1, 1)})
    made = in_groups(lambda weights: torch.optim.SGD(weights, lr=1.0), module, {"a": 0.5, "a.1": 0.25})
    assert [(group["name"], group["lr"], len(group["params"])) for group in made.param_groups] == [
        ("others", 1.0, 2),
        ("a", 0.5, 2),
        ("a.1", 0.25, 2),
    ]
    with pytest.raises(RunError, match="LBFGS doesn't support per-parameter options"):
        in_groups(lambda weights: torch.optim.LBFGS(weights), module, {"a": 0.5})


@pytest.mark.parametrize("as_tensor", [False, True], ids=["number", "tensor"])
def test_group_that_is_added_later_has_its_own_peak(as_tensor):
    rate = torch.tensor if as_tensor else float
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=rate(1.0), foreach=False)
    schedule = WarmupCosine(optimizer, warmup=0.0, floor=0.0)
    schedule.total_steps = 4
    for step in range(1, 5):
        if step == 2:
            optimizer.add_param_group({"params": [torch.zeros(1)], "lr": rate(0.1)})
        optimizer.step()
        schedule.step()
        factor = (1 + math.cos(math.pi * step / 4)) / 2
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        assert rates == pytest.approx([factor, 0.1 * factor][: len(rates)], abs=1e-7)


def test_backbone_finetuning_of_lightning_resumes_exactly(short, stop_at, monkeypatch):
    monkeypatch.setattr(Model, "backbone", property(lambda self: self.network.features), raising=False)
    monkeypatch.setattr(Model, "configure_optimizers", head_alone)
    settings = {"unfreeze_backbone_at_epoch": 1}
    callback = {"class_path": "pytorch_lightning.callbacks.BackboneFinetuning", "init_args": settings}
    flags = [*short, "--trainer.max_epochs=3", f"--trainer.callbacks=[{json.dumps(callback)}]"]
    # Before its group of parameters is added, and twice after that.
    untouched, stopped = stopped_and_untouched(stop_at, *flags, batches=(1, 3, 1))
    assert len(untouched["optimizer_states"][0]["param_groups"]) == 2
    assert_same(untouched, stopped)


def test_two_schedules_with_manual_optimization_resume_exactly(short, stop_at, monkeypatch):
    def both(self):
        optimizers = [self.optimizer(part.parameters()) for part in (self.network.features, self.network.head)]
        return optimizers, [stepping(self.lr_scheduler(optimizer), self) for optimizer in optimizers]

    def step_both(self, batch, batch_idx):
        for optimizer, schedule in zip(self.optimizers(), self.lr_schedulers(), strict=True):
            optimizer.zero_grad()
            self.manual_backward(self.objective(self(batch[0]), batch[1]))
            optimizer.step()
            schedule.step()

    monkeypatch.setattr(Model, "automatic_optimization", False)
    monkeypatch.setattr(Model, "configure_optimizers", both)
    monkeypatch.setattr(Model, "training_step", step_both)
    untouched, stopped = stopped_and_untouched(stop_at, *short, "--best_checkpoint=null")
    assert [schedule["last_epoch"] for schedule in untouched["lr_schedulers"]] == [6, 6]
    assert [schedule["total_steps"] for schedule in untouched["lr_schedulers"]] == [6, 6]
    assert_same(untouched, stopped)


def test_freezing_needs_no_training(short):
    main(["fit", "--run", "one", *short, FEATURES])
    main(["test", "--run", "one"])
    assert Freeze(["nothing"]).setup(None, None, "test") is None
