"""Bake every task and every logger, train the result for real, and reach the published figures."""

import json

import pytest
from conftest import CHOICES, OWN_TESTS, SHORT, bake_into, run

# The first logger is that of every task.
BAKES = [{"task": task} for task in CHOICES["task"]] + [{"logger": logger} for logger in CHOICES["logger"][1:]]


@pytest.mark.parametrize("answers", BAKES, ids=str)
def test_baked_project_trains_tests_and_writes_nowhere_else(tmp_path, python, answers):
    project = bake_into(tmp_path, **answers)
    before = {path for path in project.rglob("*") if "__pycache__" not in path.parts}
    command = [python, "-m", "lit_project"]
    printed = run([*command, "fit", "--run", "first", *SHORT], project)
    assert "curves.png" in printed
    printed = run([*command, "test", "--ckpt_path", "best", *SHORT], project)
    assert "test/loss" in printed
    assert json.loads((project / "runs/first/test.json").read_text())["test/loss"] > 0
    outside = {path for path in project.rglob("*") if "__pycache__" not in path.parts} - before
    assert {path.relative_to(project).parts[0] for path in outside} - {"data"} == {"runs"}
    assert {path.name for path in (project / "runs").iterdir()} == {"first"}


def test_data_lies_where_the_variable_says(tmp_path, python):
    project = bake_into(tmp_path, task="language", logger="csv")
    fit = [python, "-m", "lit_project", "fit", "--run", "first", *SHORT]
    run(fit, project, LIT_PROJECT_DATA=str(tmp_path / "scratch"))
    assert list((tmp_path / "scratch").glob("python-*/train"))
    assert not (project / "data").exists()


@pytest.mark.parametrize("task", CHOICES["task"])
def test_reference_run_reaches_its_published_figure(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    assert "2 passed" in run([python, *OWN_TESTS, "-m", "slow"], project)  # and a compiled network
