"""Nothing that a configuration or a checkpoint names is run, and no secret is written down."""

from pathlib import Path

import pytest
import torch
import yaml

from {{ cookiecutter.__package }}.checkpoints import CheckpointIO, RunError
from {{ cookiecutter.__package }}.cli import main
from {{ cookiecutter.__package }}.secrets import masked, without_secrets

EVIL = {"class_path": "evil.Run"}


@pytest.mark.parametrize(
    "settings",
    [{"model": {"network": EVIL}}, {"model": {"optimizer": EVIL}}, {"trainer": {"callbacks": [EVIL]}}],
    ids=str,
)
def test_configuration_imports_nothing_but_what_is_allowed(workplace, monkeypatch, settings, capfd):
    (workplace / "evil.py").write_text("open('executed', 'w')\n")
    monkeypatch.syspath_prepend(workplace)
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", "settings.yaml"])
    assert stopped.value.code == 2
    assert "evil.Run is not among what a configuration may name: see ALLOWED" in capfd.readouterr().err
    assert not Path("executed").exists()


def test_checkpoint_that_could_run_code_is_refused_in_one_line(capfd):
    torch.save({"state_dict": {}, "hyper_parameters": {"where": Path("here")}}, "other.ckpt")
    with pytest.raises(SystemExit) as stopped:
        main(["test", "--ckpt_path", "other.ckpt"])
    assert stopped.value.code == 2
    assert "it holds more than tensors and plain values" in capfd.readouterr().err


def test_setting_that_would_make_a_checkpoint_unloadable_is_refused_when_it_is_saved():
    with pytest.raises(RunError, match=r"hyper_parameters where is a (Posix|Windows)Path"):
        CheckpointIO().save_checkpoint({"state_dict": {}, "hyper_parameters": {"where": Path("here")}}, "own.ckpt")
    assert not Path("own.ckpt").exists()


def test_secrets_are_told_by_their_names():
    settings = {"api_token": "t", "pad_token": "<pad>", "data": {"password": "p"}, "url": "https://me:p@host/x"}
    assert without_secrets(settings) == {"pad_token": "<pad>", "data": {}, "url": "https://me:***@host/x"}
    words = ["fit", "--data.api_key", "k", "--data.hf_token=t", "--data", '{"secret": "s"}', "--data.rows", "3"]
    assert masked(words) == ["fit", "--data.api_key", "***", "--data.hf_token=***", "--data", "***", "--data.rows", "3"]


def test_secrets_do_not_reach_a_checkpoint():
    files = CheckpointIO()
    files.save_checkpoint({"hyper_parameters": {"api_key": "k", "width": 4}}, "own.ckpt")
    files.teardown()  # waits until it is written
    assert torch.load("own.ckpt", weights_only=True) == {"hyper_parameters": {"width": 4}}
