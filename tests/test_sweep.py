"""A sweep survives kills, to the last bit; measured with real processes."""

import random
import shutil
import sys

import pytest
from conftest import PROGRAMS, bake_into, run


@pytest.fixture
def sweep_kills(tmp_path, python):
    """Runs the program of that name in a baked project, with another seed each time; returns what it printed."""
    project = bake_into(tmp_path, task="vision", logger="csv")
    shutil.copy(PROGRAMS / "sweep_kills.py", project)

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
