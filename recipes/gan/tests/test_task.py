"""What this task's data, networks and metric must keep to. Yours: change it with them."""

import pytest
import torch

from lit_project.data import CENTRES, DataModule
from lit_project.modes import Modes


def prepared(**changes):
    settings = {"samples": 512, "batch_size": 8, "num_workers": 0, "seed": 0}
    data = DataModule(**settings | changes)
    data.setup("fit")
    return data


def test_batches_are_points_to_learn_from_and_noise_to_make_points_of():
    data = prepared()
    assert next(iter(data.train_dataloader())).shape == (8, 2)
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert next(iter(loader)).shape == (8, 8)


def test_points_depend_on_the_seed_alone():
    one, again, other = (prepared(seed=seed).train for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def measured(points):
    modes = Modes()
    modes.update(points)
    return {name: value.item() for name, value in modes.compute().items()}


def test_points_of_the_data_cover_all_modes_and_one_gaussian_does_not_fit_them():
    points = prepared(samples=4096).train
    assert measured(points) == {"modes": 1, "quality": pytest.approx(0.989, abs=0.01)}
    assert measured(points.std(dim=0) * torch.randn(4096, 2))["quality"] < 0.15


def test_points_of_one_mode_are_of_quality_and_cover_that_mode_alone():
    assert measured(CENTRES[:1].repeat(100, 1)) == {"modes": 1 / 8, "quality": 1}
