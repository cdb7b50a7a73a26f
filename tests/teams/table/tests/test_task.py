import json
from pathlib import Path

import pytest
import torch

from lit_project.__main__ import main
from lit_project.data import DataModule
from lit_project.objective import Objective


@pytest.fixture
def data():
    module = DataModule(folder="data", val_fraction=0.25, batch_size=10, num_workers=0, seed=0)
    module.setup("fit")
    return module


def test_batches_have_the_promised_shapes_and_types(data):
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        features, targets, ids = next(iter(loader))
        assert (features.shape, features.dtype) == ((10, 3), torch.float32)
        assert (targets.shape, targets.dtype) == ((10, 1), torch.float32)
        assert len(ids) == len(set(ids)) == 10


def test_no_patient_is_in_two_splits(data):
    ids = [row[2] for split in (data.train, data.val, data.test) for row in split]
    assert len(ids) == len(set(ids)) == 120


def test_those_who_fall_ill_weigh_more():
    outputs, ill, healthy = torch.zeros(1, 1), torch.ones(1, 1), torch.zeros(1, 1)
    objective = Objective(positive_weight=3.0)
    assert objective(outputs, ill).item() == pytest.approx(3 * objective(outputs, healthy).item())


def test_reference_run_finds_most_of_the_ill():
    main(["fit", "--run", "reference", "--trainer.accelerator=cpu"])
    main(["test", "--run", "reference", "--trainer.accelerator=cpu"])
    assert json.loads(Path("runs/reference/test.json").read_text())["test/auroc"] > 0.8
