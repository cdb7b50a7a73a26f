"""What this task's data and network must keep to. Yours: change it with data.py and network.py."""

import json
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.data import DataModule
from {{ cookiecutter.__package }}.network import Network


def prepared(**changes):
    settings = {"samples": 32, "fold": None, "folds": 5, "batch_size": 8, "num_workers": 0, "seed": 0}
    data = DataModule(**settings | changes)
    data.setup("fit")
    return data


def test_batches_have_the_promised_shapes_and_types():
    data = prepared()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        inputs, targets = next(iter(loader))
        assert (inputs.shape, inputs.dtype) == ((8, 4), torch.float32)
        assert (targets.shape, targets.dtype) == ((8, 1), torch.float32)


def test_samples_depend_on_the_seed_alone():
    one, again, other = (prepared(seed=seed).train.tensors[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_each_sample_but_the_test_s_is_in_one_fold():
    folds = [prepared(fold=fold) for fold in range(5)]
    assert sorted(index for data in folds for index in data.val.indices) == list(range(40))
    assert all(len(data.train) == 32 and len(data.test) == 8 for data in folds)


def test_network_gives_one_number_for_each_sample():
    assert Network(bias=True)(torch.rand(5, 4)).shape == (5, 1)


@pytest.mark.slow
def test_reference_run_learns_all_but_the_noise():
    main(["fit", "--run", "reference"])
    main(["test", "--run", "reference"])
    metrics = json.loads(Path("runs/reference/test.json").read_text())
    assert metrics["test/loss"] == pytest.approx(0.01, rel=0.3)  # the variance of the noise in data.py
