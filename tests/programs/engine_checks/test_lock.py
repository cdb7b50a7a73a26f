"""One trainer a run, whatever lives on after a kill."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lit_project.__main__ import main
from lit_project.engine.errors import RunError
from lit_project.engine.saving import lock
from lit_project.engine.saving.lock import locked

# Holds the lock, and has a child that was forked from it, as a loader's workers are.
HOLDER = """
import os, sys, time
from pathlib import Path
from lit_project.engine.saving.lock import locked
with locked(Path("runs/one")):
    Path("runs/one/begun").touch()
    worker = os.fork()
    if worker:
        print(worker, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder():
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    yield process
    os.kill(worker, signal.SIGKILL)
    process.kill()
    process.communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no processes that are forked")
def test_lock_is_held_until_its_holder_is_killed_even_if_its_workers_live_on(holder, refused, short):
    told = refused("fit", "--run", "one", *short)
    assert f"run one is being trained by process {holder.pid} on " in told
    assert sorted(os.listdir("runs/one")) == [".lock", "begun"]
    holder.kill()
    holder.wait()
    with locked(Path("runs/one")):
        pass


def test_command_that_is_refused_leaves_no_folder(refused, short):
    refused("fit", "--run", "one", *short, "--trainer.accelerator", "tpu")
    assert not Path("runs/one").exists()


def test_trial_leaves_no_lock(short):
    main(["fit", "--run", "one", *short, "--trainer.fast_dev_run", "true"])
    assert not Path("runs/one").exists()


def test_file_system_without_locks_is_told(monkeypatch, capsys):
    def fail(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "lock", fail)
    with locked(Path("one")):
        Path("one/begun").touch()
    assert "has no locks" in capsys.readouterr().err


def test_folder_that_cannot_be_written_is_refused():
    Path("file").touch()
    with pytest.raises(RunError, match="cannot be written: Not a directory"), locked(Path("file/one")):
        pass


def test_lock_that_its_holder_takes_away_is_asked_for_again(monkeypatch):
    real, asked = lock.lock, []

    def taken_away(file):
        real(file)
        asked.append(file.name)
        if len(asked) == 1:
            Path("one/.lock").unlink()

    monkeypatch.setattr(lock, "lock", taken_away)
    with locked(Path("one")):
        assert len(asked) == 2
        assert Path("one/.lock").exists()
