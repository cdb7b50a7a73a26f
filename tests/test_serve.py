"""The recipe `serve` is laid over bakes as its README says, and its tests are run there."""

import shutil

import pytest
from conftest import OWN_TESTS, ROOT, bake_into, run

RECIPE = ROOT / "recipes/serve"


@pytest.mark.parametrize("task", ["regression", "vision", "language"])  # numbers, grey levels, texts of any length
def test_exported_model_is_served(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    shutil.copy(RECIPE / "serve.py", project)
    shutil.copytree(RECIPE / "tests", project / "tests", dirs_exist_ok=True)
    for command in (["check"], ["format", "--check"]):
        run([python.parent / "ruff", *command, "serve.py", "tests"], project)
    printed = run([python, *OWN_TESTS, "tests/test_serve.py"], project)
    assert " passed" in printed
    assert "skipped" not in printed
