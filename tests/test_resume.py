"""A run survives kills at any moment, and a full disk; how exactly is measured with real processes."""

import random
import shutil
import subprocess
import sys

import pytest
from conftest import CHOICES, PROGRAMS, bake_into, run

# Few and small batches, many saves, every kind of moment: validation, ends of epochs, saving.
SMALL = ["--trainer.log_every_n_steps=1", "--trainer.limit_train_batches=8", "--trainer.limit_val_batches=2"]
TASK = {
    "regression": ["--preset=mlp", "--trainer.max_epochs=4"],
    "vision": ["--trainer.max_epochs=3"],
    "language": [
        "--trainer.max_steps=24",
        "--trainer.val_check_interval=4",
        "--data.context=32",
        "--model.network.dropout=0.1",
    ],
    "blank": ["--trainer.max_epochs=3"],
}


@pytest.fixture
def seed():
    """Another one each time; printed with what it found."""
    return str(random.randrange(2**32))


@pytest.mark.parametrize("task", CHOICES["task"])
def test_killed_runs_end_like_an_untouched_one(tmp_path, python, seed, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    shutil.copy(PROGRAMS / "kills.py", project)
    printed = run([python, "kills.py", seed, "3", *SMALL, *TASK[task]], project)
    print(printed)
    assert "24 kills, not the same: none" in printed


def test_kill_while_saving_leaves_a_whole_checkpoint(tmp_path, python, seed):
    project = bake_into(tmp_path, logger="csv")
    shutil.copy(PROGRAMS / "saving.py", project)
    printed = run([python, "saving.py", seed, "200"], project)
    print(printed)
    assert "200 kills" in printed


# By logger: each how manieth of its events is tried; all of them take an hour.
EVERY = {"csv": 4, "tensorboard": 8, "wandb": 12, "mlflow": 97}


@pytest.mark.parametrize("logger", EVERY)
def test_kill_at_a_file_event_leaves_a_run_that_goes_on(tmp_path, python, seed, logger):
    project = bake_into(tmp_path, task="vision", logger="csv")
    for program in ("kills.py", "file_events.py"):
        shutil.copy(PROGRAMS / program, project)
    every = EVERY[logger]
    printed = run([python, "file_events.py", logger, str(every), str(1 + int(seed) % every)], project)
    print(printed)
    assert "not survived: none" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="makes a small file system with mount")
def test_full_disk_is_one_line_and_the_checkpoint_before_stays(tmp_path, python):
    project = bake_into(tmp_path, task="vision", logger="csv")
    disk = project / "runs"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk]).returncode:
        pytest.skip("mount needs rights that this user has not")
    try:
        shutil.copy(PROGRAMS / "full_disk.py", project)
        assert "the checkpoint before it is whole" in run([python, "full_disk.py"], project)
    finally:
        subprocess.run(["umount", disk], check=True)
