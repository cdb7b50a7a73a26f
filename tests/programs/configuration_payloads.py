"""Malicious configurations. test_safety.py runs this with pytest inside a baked project."""

from pathlib import Path

import pytest
import yaml
from lit_project.__main__ import main

EVIL = {"class_path": "evil.Run", "init_args": {"lr": 1}}
LAMBDA = {"class_path": "pytorch_lightning.callbacks.LambdaCallback", "init_args": {"setup": "evil.run"}}
PROCESS = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "executed"]}}


@pytest.fixture(autouse=True)
def evil(tmp_path, monkeypatch):
    """A module that leaves a file behind when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("evil.py").write_text("open('executed', 'w')\n")


@pytest.mark.parametrize(
    "settings",
    [
        {"model": {"optimizer": EVIL}},
        {"model": {"optimizer": "evil.Run"}},
        {"model": {"optimizer": PROCESS}},
        {"model": {"optimizer": "os.system"}},
        {"model": {"optimizer": {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "."}}}},
        {"model": {"optimizer": {"class_path": "torch.load", "init_args": {"f": "evil.py"}}}},
        {"model": {"lr_scheduler": EVIL}},
        {"model": {"lr_scheduler": {"class_path": "builtins.exec"}}},
        {"model": {"network": EVIL}},
        {"model": EVIL},
        {"data": EVIL},
        {"trainer": {"callbacks": [EVIL]}},
        {"trainer": {"callbacks": EVIL}},
        {"trainer": {"callbacks": [LAMBDA]}},
        {"trainer": {"logger": EVIL}},
        {"trainer": {"strategy": EVIL}},
        {"trainer": {"plugins": [EVIL]}},
        {"trainer": {"profiler": EVIL}},
        {"trainer": {"accelerator": EVIL}},
        {"early_stopping": EVIL},
    ],
    ids=str,
)
def test_configuration_imports_and_runs_nothing_else(settings):
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", "settings.yaml"])
    assert stopped.value.code == 2
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--model.optimizer=evil.Run"],
        ["fit", "--model.optimizer.help=evil.Run"],
        ["fit", "--trainer.callbacks+=evil.Run"],
        ["fit", "--trainer.callbacks.help=evil.Run"],
        ["fit", "--config", "python.yaml"],
        ["fit", "--config", "http://127.0.0.1:9/settings.yaml"],
    ],
    ids=str,
)
def test_flag_imports_and_runs_nothing_else(words):
    Path("python.yaml").write_text("model: !!python/object/apply:os.system ['touch executed']\n")
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert not Path("executed").exists()
