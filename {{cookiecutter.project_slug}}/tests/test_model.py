import copy
import math

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Subset

from {{ cookiecutter.__package }} import objective
from {{ cookiecutter.__package }}.model import WarmupCosine

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def test_gradients_reach_every_parameter(parts):
    model, data = parts
    inputs, targets = next(iter(data.train_dataloader()))
    objective.loss(model(inputs), targets).backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not without


def test_overfits_one_small_batch(parts):
    model, data = parts
    batch = DataLoader(Subset(data.train, [0, 1]), batch_size=2)
    inputs, targets = next(iter(batch))
    before = objective.loss(model(inputs), targets).item()
    trainer = pl.Trainer(max_epochs=150, **QUIET)
    trainer.fit(model, batch)
    assert trainer.callback_metrics["train/loss"].item() < 0.1 * before


def test_metrics_of_one_stage_leave_the_others_alone(parts):
    model, data = parts
    inputs, targets = next(iter(data.train_dataloader()))
    model.metrics["val_metrics"].update(model(inputs).detach(), targets)
    assert all(metric.update_called for metric in model.metrics["val_metrics"].values())
    assert not any(metric.update_called for metric in model.metrics["train_metrics"].values())


def test_copy_has_weights_of_its_own_and_shares_what_makes_optimizers(parts):
    model, _ = parts
    copied = copy.deepcopy(model)
    assert copied.optimizer is model.optimizer
    for one, other in zip(model.parameters(), copied.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()


def test_model_built_by_hand_saves_nothing_but_plain_values(parts):
    model, _ = parts
    assert not model.hparams


@pytest.mark.parametrize(("step", "fraction"), [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.55), (100, 0.1), (1000, 0.1)])
def test_learning_rate_rises_then_falls_along_a_cosine(step, fraction):
    schedule = WarmupCosine(torch.optim.SGD([torch.zeros(1)], lr=1.0), warmup=0.1, floor=0.1)
    schedule.total_steps = 100
    assert math.isclose(schedule.factor(step), fraction, abs_tol=1e-12)


def test_learning_rate_is_stepped_once_per_optimizer_step(parts):
    model, data = parts
    pl.Trainer(max_steps=3, **QUIET).fit(model, data.train_dataloader())
    schedule = model.lr_schedulers()
    assert (schedule.last_epoch, schedule.total_steps) == (3, 3)
