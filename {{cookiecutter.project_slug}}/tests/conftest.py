{% from "choices.j2" import LOGGERS %}
"""What the tests share: an empty folder each, the parts of the reference run, and the flags of a short run."""

import pytest
import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import ArgumentParser

from {{ cookiecutter.__package }}.arguments import CONFIGS
from {{ cookiecutter.__package }}.data import DataModule
from {{ cookiecutter.__package }}.model import Model

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


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Runs go to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
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


@pytest.fixture
def short():
    return list(SHORT)


@pytest.fixture
def parts():
    """The reference run's Model and DataModule, as configs/default.yaml describes them."""
    settings = yaml.safe_load((CONFIGS / "default.yaml").read_text(encoding="utf-8"))
    pl.seed_everything(settings["seed_everything"], verbose=False)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Model, "model")
    parser.add_class_arguments(DataModule, "data")
    built = parser.instantiate(parser.parse_object({key: settings[key] for key in ("model", "data")}))
    built.data.prepare_data()
    built.data.setup("fit")
    return built.model, built.data
