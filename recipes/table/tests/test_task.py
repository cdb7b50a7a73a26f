"""What the table, the scale and the probabilities promise."""

import pytest
import torch

from lit_project.__main__ import main
from lit_project.data import FEATURES, DataModule
from lit_project.model import Model
from lit_project.objective import Objective


def test_batches_have_measures_targets_and_ids(parts):
    features, targets, ids = next(iter(parts[1].train_dataloader()))
    assert (features.shape, features.dtype) == ((32, len(FEATURES)), torch.float32)
    assert set(targets.flatten().tolist()) == {0.0, 1.0}
    assert len(set(ids)) == 32


def test_bad_rows_are_told_and_too_many_are_refused(capfd, parts, refused):
    assert "4 of 446 rows are left out: data/patients.csv:59, blood_pressure is 'unknown'," in capfd.readouterr().err
    assert sum(len(table) for table in (parts[1].train, parts[1].val, parts[1].test)) == 442
    assert "patients.csv:59" in refused("fit", "--data.max_rejected=0.001")


def test_a_patient_stays_in_the_same_part_when_rows_are_removed(parts, workplace):
    file = workplace / "data/patients.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:200]))
    fewer = DataModule("data", 1.0, 0.2, 0.25, None, 5, batch_size=32, num_workers=0, seed=0)
    fewer.setup("fit")
    for part in ("train", "val", "test"):
        assert set(getattr(fewer, part).ids) < set(getattr(parts[1], part).ids)


def test_each_patient_but_the_test_s_is_in_one_fold(parts):
    folds = [DataModule("data", 1.0, 0.2, 0.25, fold, 3, batch_size=32, num_workers=0, seed=0) for fold in range(3)]
    for data in folds:
        data.setup("fit")
        assert data.test.ids == parts[1].test.ids
        assert sorted(data.train.ids + data.val.ids) == sorted(parts[1].train.ids + parts[1].val.ids)
    assert len({name for data in folds for name in data.val.ids}) == sum(len(data.val) for data in folds)
    assert sorted(name for data in folds for name in data.val.ids) == sorted(folds[0].train.ids + folds[0].val.ids)


def test_scale_and_weight_are_those_of_the_training_rows_and_loaded_without_them(short, parts, workplace):
    train = parts[1].train
    main(["fit", "--run=one", *short])
    (workplace / "data/patients.csv").unlink()
    model = Model.load_from_checkpoint("runs/one/checkpoints/last.ckpt")
    scaled = (train.features - model.network.mean) / model.network.deviation
    assert torch.allclose(scaled.mean(dim=0), torch.zeros(len(FEATURES)), atol=1e-4)
    assert model.objective.weight.item() == pytest.approx(1 / train.targets.mean().item() - 1)


def test_probabilities_are_shares_of_the_patients_in_spite_of_the_weight():
    objective, targets = Objective(), torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    objective.learn_weight(targets)
    score = torch.zeros(1, 1, requires_grad=True)
    objective(score.expand(4, 1), targets).backward()
    assert score.grad.item() == pytest.approx(0)  # the best score, if all patients look alike
    assert objective.prediction(score).item() == pytest.approx(1 / 4)
