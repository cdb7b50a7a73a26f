"""What a kill, a damaged file or a stranger leaves in a run's folder, and what the next start makes of it."""

import errno
import json
import os
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from lit_project.__main__ import main
from lit_project.engine.command import commit, manifest
from lit_project.engine.saving.atomic import new_folder

RUN = Path("runs/one")


@pytest.fixture
def half_done(short, stop_at):
    """A run that was stopped in its second epoch, with metrics of the first."""
    stop_at(4)
    with pytest.raises(SystemExit):
        main(["fit", "--run=one", *short])
    stop_at(10_000)


def test_curves_that_a_kill_has_prevented_are_drawn_at_the_next_start(short):
    main(["fit", "--run=one", *short])
    drawn = (RUN / "curves.png").read_bytes()
    (RUN / "curves.png").unlink()
    main(["fit", "--run=one", *short])
    assert (RUN / "curves.png").read_bytes() == drawn


DAMAGE = {
    "a row without end": lambda rows: [rows[0], rows[1][:3], *rows[2:]],
    "no text": lambda rows: [rows[0], b"\0\xff\xfe\n", *rows[2:]],
    "words": lambda rows: [rows[0], rows[1].replace(b"0,", b"zero,"), *rows[2:]],
    "another header": lambda rows: [b"a,b\n", *rows[1:]],
    "cut": lambda rows: rows[:1],
    "empty": lambda rows: [],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_metrics_are_told_and_the_rest_is_kept(short, half_done, capfd, damage):
    file = RUN / "metrics.csv"
    rows = file.read_bytes().splitlines(keepends=True)
    damaged = b"".join(damage(rows))
    file.write_bytes(damaged)
    main(["fit", "--run=one", *short])
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "has lost" in line]
    assert "runs/one/metrics.csv has lost" in line
    assert "the file as it was is metrics.damaged-1.csv" in line
    assert (RUN / "metrics.damaged-1.csv").read_bytes() == damaged
    readable = set(damaged.splitlines(keepends=True)) & set(rows[1:])
    if damaged.startswith(rows[0]):
        assert readable <= set(file.read_bytes().splitlines(keepends=True))


def test_metrics_that_are_gone_are_told(short, half_done, capfd):
    (RUN / "metrics.csv").unlink()
    main(["fit", "--run=one", *short])
    assert "metrics.csv has lost" in capfd.readouterr().err
    assert (RUN / "metrics.csv").exists()


def test_manifest_says_what_a_training_was_run_with(short):
    main(["fit", "--run=one", "--seed_everything=7", *short])
    kept = json.loads((RUN / "manifest.json").read_text())
    assert kept["format"] == manifest.FORMAT
    assert kept["command"].startswith("lit-project fit --run=one --seed_everything=7 ")
    assert kept["seed"] == 7
    assert kept["versions"]["torch"] == torch.__version__
    assert kept["hardware"]["threads"] == torch.get_num_threads()


def test_manifest_follows_a_training_that_has_to_begin_anew(short):
    class Killed(BaseException):
        pass

    class Dies(pl.Callback):
        def on_train_batch_end(self, *_):
            raise Killed

    with pytest.raises(Killed):
        main(["fit", "--run=one", *short], [Dies()])
    assert not list(RUN.glob("checkpoints/*"))
    main(["fit", "--run=one", *short, "--trainer.gradient_clip_val=0.5"])
    assert "gradient_clip_val=0.5" in json.loads((RUN / "manifest.json").read_text())["command"]


def test_run_of_a_later_format_is_refused(short, half_done, capfd):
    file = RUN / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": manifest.FORMAT + 1}))
    for command in ("fit", "test"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--run=one", *(short if command == "fit" else [])])
        assert ended.value.code == 2
        assert "reads formats up to" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", None])
def test_run_goes_on_without_its_manifest(short, half_done, text):
    (RUN / "manifest.json").write_text(text) if text is not None else (RUN / "manifest.json").unlink()
    main(["fit", "--run=one", *short])


@pytest.mark.parametrize(("commands", "dirty"), [(["commit"], False), (["commit", "edit"], True), ([], None)])
def test_git_state(tmp_path, monkeypatch, commands, dirty):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git = f"git -C {tmp_path} -c user.name=tests -c user.email=tests"
    assert os.system(f"{git} init --quiet") == 0
    (tmp_path / "file").write_text("one")
    if "commit" in commands:
        assert os.system(f"{git} add . && {git} commit --quiet --message one") == 0
    if "edit" in commands:
        (tmp_path / "file").write_text("two")
    state = commit.git_state(tmp_path)
    assert (state and state["dirty"]) == dirty
    assert state is None or len(state["commit"]) == 40


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Threads(pl.Callback):
    """How many threads torch has while a training trains."""

    def on_train_end(self, *_):
        self.number = torch.get_num_threads()


@pytest.mark.usefixtures("two_threads")
def test_training_keeps_its_number_of_threads(short, stop_at, capfd):
    torch.set_num_threads(1)
    stop_at(4)
    with pytest.raises(SystemExit):
        main(["fit", "--run=one", *short])
    stop_at(10_000)
    torch.set_num_threads(2)
    threads = Threads()
    main(["fit", "--run=one", *short], callbacks=[threads])
    assert (threads.number, torch.get_num_threads()) == (1, 2)  # while it trains, and again after it
    assert "CPU threads per process: 1, as this training had before" in capfd.readouterr().err


@pytest.mark.usefixtures("two_threads")
def test_more_threads_than_there_are_cores_are_not_kept(short, stop_at, capfd):
    torch.set_num_threads(1000)
    stop_at(4)
    with pytest.raises(SystemExit):
        main(["fit", "--run=one", *short])
    stop_at(10_000)
    torch.set_num_threads(1)
    threads = Threads()
    main(["fit", "--run=one", *short], callbacks=[threads])
    assert threads.number == 1
    assert "this is not exact" in capfd.readouterr().err


def test_folder_appears_whole_and_what_a_kill_left_goes(tmp_path):
    folder = tmp_path / "new" / "made"
    child = os.fork()
    if child == 0:
        with new_folder(folder) as part:
            (part / "half").write_text("")
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(list(folder.parent.iterdir())) == 1  # what the kill left
    with pytest.raises(RuntimeError), new_folder(folder) as part:
        raise RuntimeError
    assert list(folder.parent.iterdir()) == []
    with new_folder(folder) as part:
        (part / "file").write_text("whole")
        assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["made"]
    with new_folder(folder) as part:  # another host has been faster
        (part / "file").write_text("later")
    assert (folder / "file").read_text() == "whole"
    assert [path.name for path in folder.parent.iterdir()] == ["made"]


def test_folder_that_cannot_be_filled_replaces_none(tmp_path):
    def fill():
        with new_folder(tmp_path / "made", replaces=True) as part:
            (part / "of a set").mkdir()
            (part / "of a set/figures.csv").write_text("metric\n")
            raise OSError(errno.ENOSPC, "no room")

    (tmp_path / "made").mkdir()
    with pytest.raises(OSError, match="no room"):
        fill()
    assert list((tmp_path / "made").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if "made" in path.name] == ["made"]


def test_folder_that_somebody_else_is_filling_stays(tmp_path):
    other = tmp_path / f".made.part-{os.uname().nodename}-{os.getppid()}"
    far = tmp_path / ".made.part-another-host-7"
    old = tmp_path / ".made.part-third-host-7"
    for folder in (other, far, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    with new_folder(tmp_path / "made"):
        assert other.exists()
        assert far.exists()
        assert not old.exists()
