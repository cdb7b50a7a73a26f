"""What this task's data and network must keep to. Yours: change it with data.py and network.py."""

import json
import math
import runpy
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_diabetes

from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.data import DataModule
from {{ cookiecutter.__package }}.engine.errors import RunError
from {{ cookiecutter.__package }}.network import Network

EXAMPLE = Path(__file__).parents[1] / "examples/plain_pytorch.py"


def prepared(**changes):
    settings = {"features": ["bmi"], "val_rows": 0, "fold": None, "folds": 5, "batch_size": 8}
    data = DataModule(**settings | {"num_workers": 0, "seed": 0} | changes)
    data.setup("fit")
    return data


def rows(dataset):
    return {tuple(torch.cat(row).tolist()) for row in dataset}


def test_batches_have_the_promised_shapes_and_types():
    data = prepared(features=["age", "bmi"])
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        features, targets = next(iter(loader))
        assert (features.shape, features.dtype) == ((8, 2), torch.float32)
        assert (targets.shape, targets.dtype) == ((8, 1), torch.float32)


def test_preprocessing_gives_each_feature_mean_0_and_deviation_1_as_scikit_learn_does():
    every = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    raw = torch.tensor(load_diabetes(scaled=False).data, dtype=torch.float32)
    scaled = torch.tensor(load_diabetes().data * math.sqrt(442), dtype=torch.float32)
    assert torch.allclose(prepared(features=every).preprocessing()(raw), scaled, atol=1e-6)
    two = prepared(features=["bp", "age"]).preprocessing()
    assert torch.allclose(two(raw[:, [3, 0]]), scaled[:, [3, 0]], atol=1e-6)


def test_rows_of_a_file_become_the_same_samples_as_the_data():
    raw = load_diabetes(scaled=False)
    lines = [",".join(raw.feature_names), *(",".join(map(str, row)) for row in raw.data.tolist())]
    Path("patients.csv").write_text("\n".join(lines))
    data = prepared(features=["bmi", "bp"])
    inputs = data.read_inputs(Path("patients.csv"))
    rows = data.preprocessing()(torch.stack([inputs.sample(item.content) for item in inputs.items]))
    assert torch.equal(rows[-20:], data.test.tensors[0])


def test_splits_are_disjoint():
    every = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    data = prepared(features=every, val_rows=82)
    assert [len(split) for split in (data.train, data.val, data.test)] == [340, 82, 20]
    assert len(rows(data.train) | rows(data.val) | rows(data.test)) == 442


def test_classic_split_trains_on_all_but_the_test_rows():
    data = prepared()
    assert (len(data.train), data.val) == (422, data.test)


def test_each_training_row_is_in_one_fold():
    every = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    folds = [prepared(features=every, fold=fold) for fold in range(5)]
    assert len(set().union(*(rows(data.val) for data in folds))) == sum(len(data.val) for data in folds) == 422
    assert all(rows(data.train) | rows(data.val) == rows(folds[0].train) | rows(folds[0].val) for data in folds)


def test_splits_and_batches_depend_on_the_seed_alone():
    one, again, other = (prepared(val_rows=82, seed=seed) for seed in (1, 1, 2))
    assert one.train.indices == again.train.indices != other.train.indices
    first, second = (next(iter(data.train_dataloader()))[0] for data in (one, again))
    assert torch.equal(first, second)


@pytest.mark.parametrize("changes", [{"fold": 5}, {"fold": -1}, {"folds": 1}, {"folds": 212}])
def test_impossible_fold_is_refused(changes):
    with pytest.raises(RunError, match=f"{next(iter(changes))} is"):
        prepared(**changes)


@pytest.mark.parametrize("rows", [-1, 422])
def test_impossible_split_is_refused(rows):
    with pytest.raises(RunError, match="val_rows"):
        prepared(val_rows=rows)


@pytest.mark.parametrize("hidden", [[], [16], [16, 8]])
def test_network_gives_one_number_per_row(hidden):
    assert Network(features=3, hidden=hidden)(torch.rand(5, 3)).shape == (5, 1)


def test_plain_pytorch_ends_with_the_same_weights_bit_for_bit():
    main(["fit", "--run", "lightning", "--trainer.accelerator=cpu"])
    lightning = torch.load("runs/lightning/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    plain = runpy.run_path(str(EXAMPLE))["main"]()
    assert torch.equal(lightning["network.layers.0.weight"], plain["weight"].cpu())
    assert torch.equal(lightning["network.layers.0.bias"], plain["bias"].cpu())


def test_mlp_preset_trains_on_all_features(short):
    main(["fit", "--run", "mlp", "--preset", "mlp", *short, "--trainer.logger=false"])
    state = torch.load("runs/mlp/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert state["network.layers.0.weight"].shape == (64, 10)


@pytest.mark.slow
def test_reference_run_reaches_the_published_figures():
    """https://scikit-learn.org/stable/auto_examples/linear_model/plot_ols_ridge.html and its forerunner plot_ols."""
    main(["fit", "--run", "reference"])
    main(["test", "--run", "reference"])
    metrics = json.loads(Path("runs/reference/test.json").read_text())
    best = torch.load("runs/reference/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    coefficient = best["network.layers.0.weight"].item() * math.sqrt(442)  # back to scikit-learn's scale
    assert coefficient == pytest.approx(938.24, rel=1e-3)
    assert metrics["test/mse"] == pytest.approx(2548.07, rel=1e-3)
    assert metrics["test/r2"] == pytest.approx(0.47, abs=5e-3)
