import json
from pathlib import Path

import torch

from {{ cookiecutter.__package }}.cli import main
from {{ cookiecutter.__package }}.data import DataModule


def test_targets_are_sums():
    data = DataModule(rows=16, batch_size=4, num_workers=0, seed=0)
    data.setup("fit")
    numbers, sums = next(iter(data.train_dataloader()))
    torch.testing.assert_close(numbers.sum(dim=1, keepdim=True), sums)


def test_reference_run_learns_to_add():
    main(["fit", "--run", "reference", "--preset", "cpu", "--trainer.enable_progress_bar=false"])
    main(["test", "--run", "reference", "--preset", "cpu"])
    assert json.loads(Path("runs/reference/test.json").read_text())["test/distance"] < 0.05
