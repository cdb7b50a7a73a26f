"""Trainings that are repeated with several seeds or folds: what they reach together, and what becomes of kills."""

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml
from conftest import last, same
from lit_project.__main__ import load_parts, main
from lit_project.engine.command import assigned
from lit_project.engine.command.arguments import RunFlags
from lit_project.engine.command.pool import Pool, flags_of_fit
from lit_project.engine.command.project import Parts
from lit_project.engine.errors import RunError
from lit_project.engine.search import estimates
from lit_project.engine.search.repetitions import CLAIMS, Repetition, Repetitions
from processes_below import children

FLAGS = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=12", "--last_checkpoint.every_n_steps=4"]
FLAGS += ["--trainer.limit_val_batches=2", "--trainer.limit_test_batches=4"]
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals, and no ps")


def started(*args):
    command = [sys.executable, "-m", "lit_project", "repeat", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def repeated(*args, code=0):
    """What the command prints."""
    process = started(*args)
    printed = process.communicate()[0]
    assert process.returncode == code, printed
    return printed


def measured(run, stage="test"):
    return json.loads(Path("runs", run, f"{stage}.json").read_text())


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The folder in which two seeds have been trained, without Optuna and without a kill; what was printed."""
    folder = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("optuna.py").write_text("raise ImportError('not installed')")
        return folder, repeated("--seeds", "2", *FLAGS)


def test_seeds_are_trained_and_tested_as_runs_with_their_own_seed(calm, monkeypatch, capfd, refused):
    folder, printed = calm
    monkeypatch.chdir(folder)
    values = [measured(f"seeds/00{seed}")["test/accuracy"] for seed in (0, 1)]
    assert f"{statistics.mean(values):.4f}" in printed
    assert max(map(len, printed.splitlines())) <= max(80, len(f"Repeat:      {folder}/runs/seeds: 2 seeds"))
    assert "there is no run yet" in refused("predict")  # none of them is the newest run by itself
    assert "seeds is a training with its repetitions" in refused("predict", "--run", "seeds")
    main(["fit", "--runs=others", "--run=one", "--seed_everything=1", *FLAGS])
    assert same(last("seeds/001")["state_dict"], last("../others/one")["state_dict"])
    capfd.readouterr()
    main(["runs", "--csv"])
    rows = list(csv.DictReader(capfd.readouterr().out.splitlines()))
    assert [(row["run"], row["seed_everything"]) for row in rows] == [("seeds/000", "0"), ("seeds/001", "1")]
    main(["runs"])
    assert f"{statistics.mean(values):.4f}" in capfd.readouterr().out  # and not the best of them


def test_table_is_kept_and_printed_again_without_a_training(calm, monkeypatch, capsys):
    monkeypatch.chdir(calm[0])
    Path("runs/seeds/estimates.csv").unlink()
    main(["repeat", "--seeds", "2", *FLAGS])
    assert calm[1].endswith(capsys.readouterr().out)
    rows = {row["metric"]: row for row in csv.DictReader(Path("runs/seeds/estimates.csv").read_text().splitlines())}
    values = [measured(f"seeds/00{seed}")["test/loss"] for seed in (0, 1)]
    assert rows["test/loss"]["runs"] == "2"
    assert float(rows["test/loss"]["mean"]) == pytest.approx(statistics.mean(values))
    assert float(rows["test/loss"]["deviation"]) == pytest.approx(statistics.stdev(values))
    assert float(rows["test/loss"]["high"]) > max(values)


def wait_for(path, process):
    while not Path(path).exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


@posix
def test_kills_of_all_processes_change_nothing_to_the_last_bit(calm):
    process = started("--seeds", "2", *FLAGS)
    wait_for("runs/seeds/000/checkpoints/last.ckpt", process)
    os.kill(children(process.pid)[1], signal.SIGKILL)  # what trains, or tests by now
    wait_for("runs/seeds/001/checkpoints/last.ckpt", process)
    for victim in [process.pid, *children(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    assert "000 was killed, and goes on" in " ".join(process.communicate()[0].split())
    process = started("--seeds", "2", *FLAGS)
    while "Each run:" not in process.stdout.readline():
        pass
    os.kill(children(process.pid)[0], signal.SIGKILL)  # what forks, and with it what it has forked
    process.communicate()
    assert process.returncode == 0
    folder, _ = calm
    for run in ("seeds/000", "seeds/001"):
        untouched, killed = folder / "runs" / run, Path("runs", run)
        assert (killed / "metrics.csv").read_bytes() == (untouched / "metrics.csv").read_bytes()
        figures = [json.loads((one / "test.json").read_text()) for one in (untouched, killed)]
        assert figures[0]["test/loss"] == figures[1]["test/loss"]
    assert Path("runs/seeds/estimates.csv").read_text() == (folder / "runs/seeds/estimates.csv").read_text()


def test_other_settings_are_refused_and_more_seeds_go_on_beside_one_that_fails(calm, monkeypatch, refused):
    monkeypatch.chdir(calm[0])
    assert "are seeds, not folds" in refused("repeat", "--folds", "2", "--run", "seeds", *FLAGS)
    with monkeypatch.context() as patch:  # what another process finds out in seconds
        found = {"measures": ["test"], "settings": {"trainer": {"max_epochs": 3}}}
        patch.setattr(Pool, "check", lambda *_: found)
        assert "trainer.max_epochs 2, not 3" in refused("repeat", "--seeds", "3")
    before = Path("runs/seeds/000/checkpoints/last.ckpt").stat().st_mtime
    Path("runs/seeds/002").mkdir()
    Path("runs/seeds/002/checkpoints").write_text("in the way")
    printed = repeated("--seeds", "4", "--workers", "2", *reversed(FLAGS), code=3)
    assert "Goes on:     2 runs there" in printed
    assert "3 done, 1 failed\n  002 failed: runs/seeds/002/checkpoints is no folder" in printed
    assert ",3," in Path("runs/seeds/estimates.csv").read_text()
    assert Path("runs/seeds/000/checkpoints/last.ckpt").stat().st_mtime == before


def test_folds_are_measured_on_what_they_have_not_seen():
    printed = repeated("--folds", "2", *FLAGS, "--trainer.max_epochs=1")
    for fold in (0, 1):
        settings = yaml.safe_load(Path(f"runs/folds/00{fold}/config.yaml").read_text())
        assert (settings["data"]["fold"], settings["data"]["folds"], settings["seed_everything"]) == (fold, 2, 0)
    names = [line.split(",")[0] for line in Path("runs/folds/estimates.csv").read_text().splitlines()]
    assert names == ["metric", "val/accuracy", "val/loss", "test/accuracy", "test/loss"]
    assert "the intervals are approximate, and often too narrow\n(Bengio and Grandvalet 2004)" in printed
    mean = statistics.mean(measured(f"folds/00{fold}", "validate")["val/accuracy"] for fold in (0, 1))
    assert f"{mean:.4f}" in printed


# By what is wrong: the flags, and what has to be told.
MISTAKES = {
    "nothing": ([], "needs one of --seeds and --folds"),
    "both": (["--seeds=2", "--folds=2"], "needs one of --seeds and --folds"),
    "none": (["--seeds=0"], "--seeds is 0, and must be at least 2"),
    "one": (["--folds=1"], "--folds is 1, and must be at least 2"),
    "seed": (["--seeds=2", "--seed_everything", "3"], "--seeds decides --seed_everything"),
    "fold": (["--folds=2", "--data.fold=1"], "--folds decides --data.fold"),
    "fresh": (["--seeds=2", "--fresh"], "repeat takes no --fresh"),
    "workers": (["--seeds=2", "--workers=0"], "--workers is 0"),
    "too many": (["--folds=899"], "--data.folds is 899, and must be at most 898"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_and_leaves_nothing(mistake, refused):
    flags, line = MISTAKES[mistake]
    assert line in refused("repeat", *flags)
    assert not Path("runs").exists()


def test_data_module_without_folds_and_one_without_a_test_are_found_out():
    class Old(pl.LightningDataModule):
        def __init__(self, seed: int) -> None: ...

        def val_dataloader(self): ...

    parts = Parts(load_parts().model, Old)
    with pytest.raises(RunError, match=r"the DataModule in data.py has no argument fold") as refusal:
        assigned.refuse_missing_arguments(parts, ["fold", "folds"])
    assert "docs/search.md" in refusal.value.hint
    assert assigned.measures_of(parts) == ["validate"]
    assert assigned.measures_of(load_parts()) == ["validate", "test"]


def ended(shared, number, code, reason=""):
    """How a repetition has ended whose commands all ended with this code, if the first one did not follow."""
    (shared.folder / f"{number:03}").mkdir(exist_ok=True)
    assert shared.claim() == (number, "fit")
    if code == 0:
        assert shared.end(number, 0, "") is None
        assert shared.claim() == (number, "test")
        (shared.folder / f"{number:03}/test.json").write_text('{"test/loss": 0.5, "checkpoint": {}}')
    return shared.end(number, code, reason)


def test_repetition_is_over_when_it_is_measured_has_failed_or_was_killed_four_times(tmp_path):
    shared = Repetitions(tmp_path, 3, ["test"])
    assert ended(shared, 0, 0).metrics == {"test/loss": 0.5}
    assert ended(shared, 1, 2, "the loss is nan").error == "the loss is nan"
    assert [ended(shared, 2, -signal.SIGKILL).is_over for _ in range(4)] == [False, False, False, True]
    assert shared.claim() is None
    assert "killed 4 times" in shared.read(2).error
    (tmp_path / "001/repetition.json").unlink()  # as with its folder
    assert shared.claim() == (1, "fit")


def test_repetition_of_another_process_is_left_to_it_until_it_ends(tmp_path):
    holder = [sys.executable, "-c", HOLDER.format(folder=str(tmp_path / CLAIMS / "000"))]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "holds\n"
        shared = Repetitions(tmp_path, 2, ["test"])
        assert shared.claim() == (1, "fit")
        assert shared.claim() is None
        process.kill()
        process.wait()
        assert shared.claim() == (0, "fit")


# A process of the same command, perhaps on another host.
HOLDER = """
import sys
from pathlib import Path
from lit_project.engine.saving.lock import acquire
held = acquire(Path({folder!r}), "", "")
print("holds", flush=True)
sys.stdin.read()
"""


def test_run_that_init_from_names_lies_beside_the_folder_of_the_repetitions():
    Path("runs/first").mkdir(parents=True)
    Path("runs/first/config.yaml").write_text("seed_everything: 0")
    flags = RunFlags(Path("runs"), None, False, None, "first", True)
    assert flags_of_fit(flags) == [f"--init_from={Path('runs/first')}", "--init_partial"]
    assert flags_of_fit(flags._replace(init_from="best.ckpt")) == ["--init_from=best.ckpt", "--init_partial"]


def test_line_ends_with_the_last_metric_that_has_room():
    many = Repetition(3, {f"test/metric_{number}": 0.5 for number in range(9)})
    line = estimates.line(many, 12.0)
    assert len(line) <= 80
    assert line.endswith("12.0 s  test/metric_0 0.5000  test/metric_1 0.5000")
    assert "failed: too large" in estimates.line(Repetition(3, error="too large"), 0.0)
