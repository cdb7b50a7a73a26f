"""The loggers that a configuration names: which one a model sees, what test adds to them, and what it leaves alone."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
import yaml
from lit_project.__main__ import main
from lit_project.engine.errors import Finished
from lit_project.engine.training.loggers import end_of_wandb_run
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


class Seen(pl.Callback):
    """The kinds of the loggers of each command, in `kinds`; the first one is `self.logger` in a model."""

    def __init__(self):
        self.kinds = []

    def setup(self, trainer, pl_module, stage):
        self.kinds.append([type(logger).__name__ for logger in trainer.loggers])


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def kept(run):
    """What the training wrote, and test must not touch."""
    names = ("metrics.csv", "curves.png", "config.yaml", "checkpoints/best.ckpt")
    return {name: (run / name).read_bytes() for name in names}


def test_chosen_loggers_come_first_and_test_goes_on_in_them(short, capsys):
    seen, run = Seen(), Path("runs/one")
    main(["fit", "--run=one", "--logger=[tensorboard, mlflow]", *short], [seen])
    before = kept(run)
    for command in ("test", "test", "validate", "predict"):
        main([command, "--run=one"], [seen])
    chosen = ["TensorBoardLogger", "MLflowRun"]
    assert seen.kinds == [[*chosen, "MetricsFile"], chosen, chosen, chosen, []]
    assert kept(run) == before

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    points = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert len(points["train/loss"]) == 6
    # At the step and in the epoch of the checkpoint, where the training has validated it.
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert {(step, epoch) for step, epoch in points["epoch"][-3:]} == {(best["global_step"] - 1, best["epoch"])}
    assert [step for step, _ in points["test/loss"]] == [best["global_step"] - 1] * 2
    assert points["val/loss"][-1][0] == best["global_step"] - 1

    client = MlflowClient(f"sqlite:///{(run / 'mlflow.db').resolve().as_posix()}")
    (found,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert {"train/loss", "val/loss", "test/loss"} <= found.data.metrics.keys()


def test_mlflow_can_be_the_first_to_write(short):
    main(["fit", "--run=one", "--logger=mlflow", *short])
    assert Path("runs/one/mlflow.id").is_file()


def test_csv_alone_leaves_test_without_a_logger(short):
    seen = Seen()
    main(["fit", "--run=one", "--logger=csv", *short], [seen])
    before = kept(Path("runs/one"))
    main(["test", "--run=one"], [seen])
    assert seen.kinds == [["MetricsFile"], []]
    assert kept(Path("runs/one")) == before


def test_loggers_are_chosen_in_a_file_too_and_each_once(short):
    Path("mine.yaml").write_text("logger: [csv, tensorboard, tensorboard]\n")
    seen = Seen()
    main(["fit", "--config=mine.yaml", *short], [seen])
    assert seen.kinds == [["TensorBoardLogger", "MetricsFile"]]


@pytest.mark.parametrize("logger", ["tensorbord", "[wandb, tensorbord]"])
def test_name_of_no_logger_is_refused_with_the_names(short, refused, workplace, logger):
    told = refused("fit", "--logger", logger, *short)
    assert "there is no logger 'tensorbord'; choose from: csv, mlflow, tensorboard, wandb" in told
    assert not list(workplace.glob("runs/*"))


def test_logger_that_is_not_installed_is_told_with_what_to_try(short, refused, monkeypatch):
    find = importlib.util.find_spec
    folder = SimpleNamespace(origin=None)  # of old runs, in the working folder
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: folder if name == "wandb" else find(name))
    told = refused("fit", "--logger", "wandb", *short)
    assert "needs the package wandb, not installed here" in told
    assert "try: uv add wandb" in told


def test_logger_by_its_class_takes_the_place_of_all_and_test_spares_its_files(short):
    own = {"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": {"save_dir": "mine", "version": "one"}}
    Path("mine.yaml").write_text(yaml.safe_dump({"trainer": {"logger": own}}))
    seen = Seen()
    main(["fit", "--run=one", "--config=mine.yaml", *short], [seen])
    (metrics,) = Path("mine").rglob("metrics.csv")
    before = metrics.read_bytes()
    main(["test", "--run=one"], [seen])
    assert seen.kinds == [["CSVLogger"], []]
    assert metrics.read_bytes() == before
    assert {path.name for path in Path("runs/one/checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_profile_lies_in_the_run_folder_whichever_logger_is_first(short):
    main(["fit", "--run=one", "--logger=tensorboard", "--preset=debug-profile", *short])
    assert Path("runs/one/profile.txt").is_file()


def test_each_training_of_one_process_has_its_own_wandb_run(short):
    for run in ("one", "two"):
        own = {"class_path": "pytorch_lightning.loggers.WandbLogger", "init_args": {"save_dir": f"runs/{run}"}}
        Path("mine.yaml").write_text(yaml.safe_dump({"trainer": {"logger": [own]}}))
        main(["fit", f"--run={run}", "--config=mine.yaml", *short])
        assert len(list(Path(f"runs/{run}/wandb").glob("offline-run-*"))) == 1
        assert sys.modules["wandb"].run is None


def test_wandb_run_goes_on_in_test(short, capfd):
    main(["fit", "--run=one", "--logger=wandb", *short])
    assert "wandb:" not in capfd.readouterr().err
    main(["test", "--run=one"])
    name = Path("runs/one/wandb/id").read_text()
    folders = list(Path("runs/one/wandb").glob("offline-run-*"))
    assert len(folders) == 2
    assert all(name in folder.name for folder in folders)


class WandbRun:
    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.mark.parametrize(("error", "code"), [(None, 0), (Finished, 0), (ValueError, 1), (KeyboardInterrupt, 1)])
def test_wandb_run_ends_with_the_exit_code_of_the_command(monkeypatch, error, code):
    run = WandbRun()
    wandb = SimpleNamespace(run=None)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    try:
        with end_of_wandb_run():
            wandb.run = run
            if error:
                raise error
    except (Finished, ValueError, KeyboardInterrupt):
        pass
    assert run.exit_code == code


def test_wandb_run_of_the_caller_goes_on(monkeypatch):
    run = WandbRun()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=run))
    with end_of_wandb_run():
        pass
    assert not hasattr(run, "exit_code")


def test_no_logger_s_package_is_imported_unless_it_is_chosen():
    code = (
        "import sys\nfrom lit_project.__main__ import main\ntry: main(['fit', '--help'])\nfinally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pytorch_lightning.loggers.wandb" in done.stdout
    assert not {"mlflow", "tensorboard", "wandb"} & set(done.stdout.splitlines()[-1].split())
