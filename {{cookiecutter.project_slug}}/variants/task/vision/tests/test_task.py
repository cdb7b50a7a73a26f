"""What this task's data and network must keep to. Yours: change it with data.py and network.py."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.data import DataModule, open_picture, shift
from {{ cookiecutter.__package }}.engine.errors import RunError
from {{ cookiecutter.__package }}.network import Network


def prepared(**changes):
    settings = {"val_fraction": 0.1, "fold": None, "folds": 5, "max_shift": 1, "batch_size": 8}
    data = DataModule(**settings | {"num_workers": 0, "seed": 0} | changes)
    data.setup("fit")
    return data


def test_batches_have_the_promised_shapes_and_types():
    data = prepared()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        pictures, classes = next(iter(loader))
        assert (pictures.shape, pictures.dtype) == ((8, 1, 8, 8), torch.float32)
        assert (classes.shape, classes.dtype) == ((8,), torch.int64)
        assert pictures.min() >= 0
        assert pictures.max() <= 1


def test_splits_are_disjoint_and_the_last_half_is_the_test():
    data = prepared()
    train, val = set(data.train.indices), set(data.val.indices)
    assert not train & val
    assert train | val == set(range(898))
    assert len(data.test) == 899


def test_splits_and_batches_depend_on_the_seed_alone():
    one, again, other = (prepared(seed=seed) for seed in (1, 1, 2))
    assert one.train.indices == again.train.indices != other.train.indices
    first, second = (next(iter(data.train_dataloader()))[0] for data in (one, again))
    assert torch.equal(first, second)


def test_each_picture_of_the_first_half_is_in_one_fold():
    folds = [prepared(fold=fold, folds=3) for fold in range(3)]
    assert sorted(index for data in folds for index in data.val.indices) == list(range(898))
    for data in folds:
        assert sorted(data.train.indices + data.val.indices) == list(range(898))
        assert len(data.val) in (299, 300)
        assert len(data.test) == 899


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_impossible_split_is_refused(fraction):
    with pytest.raises(RunError, match="val_fraction"):
        prepared(val_fraction=fraction)


def test_shift_moves_each_picture_by_whole_pixels():
    pictures = torch.zeros(64, 1, 8, 8)
    pictures[:, :, 3, 4] = 1
    places = shift(pictures, 1).flatten(1).argmax(dim=1)
    assert {(place.item() // 8, place.item() % 8) for place in places} == {(y, x) for y in (2, 3, 4) for x in (3, 4, 5)}
    assert torch.equal(shift(pictures, 0), pictures)


def test_picture_of_any_size_and_colour_becomes_the_mean_grey_of_its_blocks():
    levels = torch.randint(256, (8, 8), dtype=torch.uint8)
    Image.fromarray(levels.numpy()).convert("RGB").resize((64, 64), Image.Resampling.NEAREST).save("large.png")
    assert torch.equal(open_picture(Path("large.png")), levels.unsqueeze(0))
    scaled = prepared().preprocessing()(levels)
    assert torch.equal(scaled, levels.float() / 255)


def test_network_scores_each_class():
    assert Network(width=4, dropout=0.0)(torch.rand(5, 1, 8, 8)).shape == (5, 10)


@pytest.mark.slow
def test_reference_run_beats_the_published_figure():
    """0.9689: https://scikit-learn.org/stable/auto_examples/classification/plot_digits_classification.html"""
    main(["fit", "--run", "reference"])
    main(["test", "--run", "reference"])
    metrics = json.loads(Path("runs/reference/test.json").read_text())
    assert metrics["test/accuracy"] >= 0.975
