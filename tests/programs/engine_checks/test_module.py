"""EngineModule, on the reference run's Model."""

import copy

import pytorch_lightning as pl
import torch
from lit_project.engine.training.callbacks import Compile
from test_model import QUIET


def test_metrics_of_one_stage_leave_the_others_alone(parts):
    model, data = parts
    inputs, targets = next(iter(data.train_dataloader()))
    model.metrics_of("val").update(model(inputs).detach(), targets)
    assert all(metric.update_called for metric in model.metrics_of("val").values())
    assert not any(metric.update_called for metric in model.metrics_of("train").values())


def test_copy_has_weights_of_its_own_and_shares_what_makes_optimizers(parts):
    model, _ = parts
    copied = copy.deepcopy(model)
    assert copied.optimizer is model.optimizer
    for one, other in zip(model.parameters(), copied.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()


def test_model_built_by_hand_saves_nothing_but_plain_values(parts):
    model, _ = parts
    assert model.hparams == {"lr_factors": None}


def test_learning_rate_is_stepped_once_per_optimizer_step(parts):
    model, data = parts
    pl.Trainer(max_steps=3, **QUIET).fit(model, data.train_dataloader())
    schedule = model.lr_schedulers()
    assert (schedule.last_epoch, schedule.total_steps) == (3, 3)


def test_compile_takes_the_network_and_an_objective_that_says_so(parts, monkeypatch):
    model, compiled = parts[0], []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    Compile().setup(None, model, "fit")
    assert compiled == [model.network]
    monkeypatch.setattr(type(model.objective), "compiles", True, raising=False)
    Compile().setup(None, model, "fit")
    assert compiled[1:] == [model.network, model.objective]
