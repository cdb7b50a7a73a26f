"""What this task's data, metric and network must keep to. Yours: change it with data.py and objective.py."""

import json
from pathlib import Path

import pytest
import torch

from lit_project.__main__ import main
from lit_project.data import SIDE, Scenes
from lit_project.objective import F1, Objective


@pytest.fixture
def objects():
    return {"boxes": torch.tensor([[4.0, 5, 9, 10], [20, 22, 28, 30]]), "labels": torch.tensor([0, 1])}


def test_each_box_is_around_its_square_also_after_a_flip():
    for picture, objects in (Scenes(20, noise=0.0, seed=0, flips=True)[index] for index in range(20)):
        for left, top, right, bottom in objects["boxes"].int().tolist():
            square = picture[0, top : bottom + 1, left : right + 1]  # and a row and a column beyond it
            assert [square[0].sum(), square[-1].sum(), square[:, -1].sum()] == [right - left, 0, 0]


def test_loss_is_lowest_for_outputs_that_are_read_as_the_objects(objects):
    objective = Objective(box_weight=1.0, threshold=0.5)
    outputs = torch.full((1, 6, SIDE // 4, SIDE // 4), -20.0).requires_grad_()
    for _ in range(2000):
        (gradient,) = torch.autograd.grad(objective(outputs, [objects]), outputs)
        outputs = (outputs - 0.1 * gradient.sign()).detach().requires_grad_()
    (answer,) = objective.prediction(outputs.detach())
    order = answer["labels"].argsort()
    assert answer["labels"][order].tolist() == [0, 1]
    torch.testing.assert_close(answer["boxes"][order], objects["boxes"], atol=0.5, rtol=0)


def test_f1_counts_what_is_found_and_what_is_wrongly_answered(objects):
    metric = F1()
    answers = {"boxes": objects["boxes"] + torch.tensor([[0.5], [2.0]]), "labels": objects["labels"]}
    metric.update([answers, objects], [objects, objects])
    assert metric.compute() == pytest.approx(2 * 3 / 8)


def test_sets_are_measured_apart_and_each_picture_has_its_objects(short):
    main(["fit", "--run", "one", *short])
    main(["test", "--run", "one", *short])
    measured = {f"test/{name}/{metric}" for name in ("clean", "noisy") for metric in ("loss", "f1")}
    assert json.loads(Path("runs/one/test.json").read_text()).keys() == measured | {"checkpoint"}
    main(["predict", "--run", "one", *short])
    assert len(torch.load("runs/one/predictions.pt", weights_only=True)) == 16
