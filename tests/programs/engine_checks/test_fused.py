"""Adam's fused kernel: chosen where there is one and nobody has decided otherwise, and kept by who goes on."""

from functools import partial

import pytest
import torch
from conftest import last
from lit_project.__main__ import main
from lit_project.engine.training import parameter_groups
from lit_project.engine.training.parameter_groups import in_groups
from torch.optim import SGD, Adam, AdamW

SMALL = ("--trainer.limit_train_batches=4", "--trainer.limit_val_batches=1", "--model.optimizer=torch.optim.AdamW")


def kernels(optimizer):
    return [group["fused"] for group in optimizer.param_groups]


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_adam_is_fused(kind):
    assert kernels(in_groups(partial(kind, lr=0.1), torch.nn.Linear(2, 1), None)) == [True]
    assert kernels(in_groups(partial(kind, lr=0.1), torch.nn.Linear(2, 1), {"bias": 0.1})) == [True, True]


@pytest.mark.parametrize("options", [{"fused": False}, {"foreach": True}, {"foreach": False}, {"differentiable": True}])
def test_what_somebody_has_decided_stays(options):
    assert kernels(in_groups(partial(AdamW, **options), torch.nn.Linear(2, 1), None)) == [options.get("fused")]


def test_others_are_left_alone():
    assert kernels(in_groups(partial(SGD, lr=0.1), torch.nn.Linear(2, 1), None)) == [None]


@pytest.mark.parametrize("options", [{"device": "meta"}, {"dtype": torch.complex64}])
def test_parameters_without_a_kernel_have_none(options):
    assert kernels(in_groups(AdamW, torch.nn.Linear(2, 1, **options), None)) == [None]


def test_same_steps_as_without():
    weights = []
    for optimizer in (AdamW, partial(AdamW, foreach=False)):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        made = in_groups(optimizer, layer, None)
        for _ in range(5):
            made.zero_grad()
            layer(torch.randn(7, 3)).square().mean().backward()
            made.step()
        weights.append(layer.weight.detach())
    torch.testing.assert_close(*weights)


def test_training_goes_on_with_the_kernel_it_had(monkeypatch):
    """One that began before there was this file, say."""
    with monkeypatch.context() as before:
        before.setattr(parameter_groups, "fused", lambda optimizer: optimizer)
        main(["fit", "--run=one", *SMALL, "--trainer.max_epochs=1"])
    main(["fit", "--run=one", "--trainer.max_epochs=2"])
    main(["fit", "--run=new", *SMALL, "--trainer.max_epochs=2"])
    fused = [last(run)["optimizer_states"][0]["param_groups"][0]["fused"] for run in ("one", "new")]
    assert fused == [None, True]


def test_kernel_that_a_device_lacks_is_not_restored():
    saved = in_groups(AdamW, torch.nn.Linear(2, 1), None).state_dict()
    other = in_groups(AdamW, torch.nn.Linear(2, 1, device="meta"), None)
    other.load_state_dict(saved)
    assert kernels(other) == [None]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_can_be_clipped(precision):
    flags = [f"--trainer.precision={precision}", "--trainer.max_epochs=1", "--trainer.gradient_clip_val=0.5"]
    main(["fit", "--run=one", *SMALL, *flags])
    assert last("one")["optimizer_states"][0]["param_groups"][0]["fused"]
