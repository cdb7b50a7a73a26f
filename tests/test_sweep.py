"""A sweep survives kills, to the last bit; measured with real processes."""

import random
import shutil
import sys

import pytest
import yaml
from conftest import CHOICES, PROGRAMS, bake_into, run

# Little enough that a trial takes seconds, in any task.
LITTLE = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=4", "--trainer.limit_val_batches=2"]
LITTLE += ["--trainer.max_steps=-1", "--trainer.val_check_interval=1.0"]


@pytest.fixture
def sweep_kills(tmp_path, python):
    """Runs the program of that name in a baked project, with another seed each time; returns what it printed."""
    project = bake_into(tmp_path, task="vision", logger="csv")
    for name in ("sweep_kills.py", "engine_checks/processes_below.py"):
        shutil.copy(PROGRAMS / name, project)

    def killed(kills, *whos):
        printed = run([python, "sweep_kills.py", str(random.randrange(2**32)), str(kills), *whos], project)
        print(printed)
        return printed

    return killed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no processes that are forked, and no ps")
def test_sweep_killed_three_times_ends_like_an_untouched_one(sweep_kills):
    printed = sweep_kills(3, "mixed")
    assert "mixed: 3 kills" in printed
    assert "not the same: none" in printed


@pytest.mark.kills
def test_sweep_ends_like_an_untouched_one_whatever_is_killed(sweep_kills):
    assert "not the same: none" in sweep_kills(4, "sweep", "trial", "server", "all", "mixed")


@pytest.mark.parametrize("task", CHOICES["task"])
def test_sweep_of_each_task_works_as_it_is_shipped(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    file = project / "src/lit_project/configs/sweeps/tune.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["trials"] == 20
    file.write_text(file.read_text(encoding="utf-8").replace("trials: 20", "trials: 2"), encoding="utf-8")
    printed = run([python, "-m", "lit_project", "sweep", "tune", *LITTLE], project)
    assert "2 complete" in printed
    assert "lit-project test --run tune/" in printed
