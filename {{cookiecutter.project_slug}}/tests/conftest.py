{% from "choices.j2" import LOGGERS %}
"""What the tests share: an empty folder for each, the parts of the reference run, and the flags of a short one."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import ArgumentParser

from {{ cookiecutter.__package }}.__main__ import load_parts, main
from {{ cookiecutter.__package }}.engine.training.resume import LastCheckpoint

NAME = "{{ cookiecutter.project_slug }}"
CONFIGS = Path(load_parts.__code__.co_filename).parent / "configs"
SETTINGS = yaml.safe_load((CONFIGS / "default.yaml").read_text(encoding="utf-8"))
DATA = Path(__file__).parent / "data"

# Two epochs of three batches: long enough to validate, to save and to be stopped.
SHORT = [
    "--trainer.max_epochs=2",
    "--trainer.max_steps=-1",
    "--trainer.val_check_interval=1.0",
    "--trainer.limit_train_batches=3",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=2",
    "--trainer.limit_test_batches=2",
    "--trainer.limit_predict_batches=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.accelerator=cpu",
]
# So that there are three batches; for a DataModule that can be told.
SMALL_BATCHES = ["--data.batch_size=8"] if "batch_size" in SETTINGS.get("data", {}) else []


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Each test runs in a folder of its own, with a copy of tests/data/ as data/ in it."""
    monkeypatch.chdir(tmp_path)
    for variable in ("RUNS", "DATA"):
        monkeypatch.delenv(f"{{ cookiecutter.__package | upper }}_{variable}", raising=False)
    shutil.copytree(DATA, tmp_path / "data")
{% if LOGGERS[cookiecutter.logger].tests %}
    {{ LOGGERS[cookiecutter.logger].tests }}  # nothing leaves this machine
{% endif %}
    return tmp_path


def last(run):
    """The last checkpoint of a run."""
    return torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True)


def same(one, other):
    """Whether two parts of checkpoints are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


class Losses(pl.Callback):
    """The training losses of a run, in `values`."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(outputs["loss"].item())


@pytest.fixture
def short():
    return [*SHORT, *SMALL_BATCHES]


@pytest.fixture
def parts():
    """The reference run's Model and DataModule, as configs/default.yaml describes them."""
    classes = load_parts()
    pl.seed_everything(SETTINGS.get("seed_everything", 0), verbose=False)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(classes.model, "model")
    parser.add_class_arguments(classes.data, "data")
    settings = {section: SETTINGS.get(section, {}) for section in ("model", "data")}
    built = parser.instantiate(parser.parse_object(settings))
    built.data.prepare_data()
    built.data.setup("fit")
    return built.model, built.data


@pytest.fixture
def refused(capfd):
    """Runs a command that must be refused: exit code 2, and one line of error, which is returned with its hint."""

    def run_refused(*args):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(list(args))
        lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith(f"{NAME}: ")]
        assert stopped.value.code == 2, f"{args} ended with {stopped.value.code}"
        assert [line.split()[1] for line in lines] in (["error:"], ["error:", "try:"]), lines
        return "\n".join(lines)

    return run_refused


@pytest.fixture
def stop_at(monkeypatch):
    """Have this process get a signal when a training begins its batch of the given number, counted from 0."""

    def stop_at_batch(number, signum=signal.SIGINT):
        begun = []
        begin = LastCheckpoint.on_train_batch_start

        def counted(self, trainer, *arguments):
            begun.append(trainer.global_step)
            if len(begun) == number + 1:
                os.kill(os.getpid(), signum)
            begin(self, trainer, *arguments)

        monkeypatch.setattr(LastCheckpoint, "on_train_batch_start", counted)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background would not get it
    yield stop_at_batch
    signal.signal(signal.SIGINT, before)
