"""Malicious checkpoints against every way in. test_safety.py runs this with pytest inside a baked project."""

import functools
import http.server
import os
import pickle
import shutil
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml
from lit_project import load as load_ready
from lit_project.__main__ import main
from lit_project.engine.errors import RunError
from lit_project.model import Model

SHORT = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
SHORT += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
WEIGHTS = ["--format", "safetensors"]
# Written by whatever gets to run.
CANARY = Path("executed")
INSTANTIATOR = {"_instantiator": "pytorch_lightning.cli.instantiate_module"}


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def in_hyper_parameters(checkpoint):
    checkpoint["hyper_parameters"] = {"network": Runs(os.system, f"touch {CANARY}")}


def in_weights(checkpoint):
    checkpoint["state_dict"]["more"] = Runs(eval, f"open('{CANARY}', 'w')")


def in_callbacks(checkpoint):
    checkpoint["callbacks"]["EarlyStopping"] = Runs(exec, f"open('{CANARY}', 'w')")


def in_optimizer(checkpoint):
    checkpoint["optimizer_states"] = [Runs(functools.partial(os.system, f"touch {CANARY}"))]


def in_loops(checkpoint):
    checkpoint["loops"] = Runs(subprocess.call, ["touch", str(CANARY)])


def pickled_file(checkpoint):
    return pickle.dumps(Runs(os.system, f"touch {CANARY}"))


def old_opcodes(checkpoint):
    return b"cos\nsystem\n(S'touch " + str(CANARY).encode() + b"'\ntR."


def unknown_instantiator(checkpoint):
    checkpoint["hyper_parameters"] = {"_instantiator": "evil.run"}


def optimizer_class(checkpoint):
    checkpoint["hyper_parameters"] |= {**INSTANTIATOR, "optimizer": {"class_path": "evil.Run"}}


def optimizer_name(checkpoint):
    checkpoint["hyper_parameters"] |= {**INSTANTIATOR, "optimizer": "evil.Run"}


def optimizer_process(checkpoint):
    process = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(CANARY)]}}
    checkpoint["hyper_parameters"] |= {**INSTANTIATOR, "optimizer": process, "lr_scheduler": process}


def network_class(checkpoint):
    checkpoint["hyper_parameters"] |= {**INSTANTIATOR, "network": {"class_path": "evil.Run"}}


def model_class(checkpoint):
    checkpoint["hyper_parameters"] |= {**INSTANTIATOR, "_class_path": "evil.Run"}


PICKLES = [in_hyper_parameters, in_weights, in_callbacks, in_optimizer, in_loops, pickled_file, old_opcodes]
SETTINGS = [unknown_instantiator, optimizer_class, optimizer_name, optimizer_process, network_class, model_class]


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    """A run folder with a checkpoint of its own."""
    folder = tmp_path_factory.mktemp("honest")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["fit", "--run", "honest", *SHORT])
        main(["export", "--run", "honest", *WEIGHTS])
    return folder


@pytest.fixture
def planted(honest, monkeypatch):
    """A function that plants a payload; a module that an import would run lies beside it."""
    monkeypatch.chdir(honest)
    monkeypatch.syspath_prepend(honest)
    Path("evil.py").write_text(f"open('{CANARY}', 'w')\n")
    CANARY.unlink(missing_ok=True)
    sys.modules.pop("evil", None)

    def plant(payload):
        path = Path("planted.ckpt")
        checkpoint = torch.load("runs/honest/checkpoints/last.ckpt", weights_only=True)
        data = payload(checkpoint)
        path.write_bytes(data) if data else torch.save(checkpoint, path)
        return path

    return plant


@pytest.fixture
def address(honest):
    """The address of the folder, on this machine alone."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=honest)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def load(path):
    Model.load_from_checkpoint(path)


def command(stage):
    run = [] if stage == "fit" else ["--run", "honest"]
    return lambda path: main([stage, *run, *SHORT, "--trainer.logger=false", "--ckpt_path", str(path)])


def in_run(path):
    """The planted file among the checkpoints of the run."""
    return shutil.copy(path, "runs/honest/checkpoints/planted.ckpt")


def answer(ending):
    """The planted file as an input of the user's own."""
    question = ["predict", "--run", "honest", *SHORT, "--output", "answers.csv", "--overwrite"]
    return lambda path: main([*question, "--input", shutil.copy(path, f"planted{ending}")])


INPUTS = {f"input{ending}": answer(ending) for ending in (".csv", ".parquet")}
ENTRIES = {
    **INPUTS,
    "load_from_checkpoint": load,
    **{stage: command(stage) for stage in ("fit", "validate", "test", "predict")},
    "init_from": lambda path: main(["fit", "--run", "begun", "--fresh", *SHORT, "--init_from", str(path)]),
    "export": lambda path: main(["export", "--run", "honest", *WEIGHTS, "--ckpt_path", str(in_run(path))]),
    "load": lambda path: load_ready(in_run(path)),
    "load_export": lambda path: load_ready(Path(shutil.copy(path, "runs/honest/export/model.safetensors")).parent),
}


@pytest.mark.parametrize("payload", PICKLES, ids=lambda payload: payload.__name__)
def test_payload_is_live(planted, payload):
    with suppress(Exception):
        torch.load(planted(payload), weights_only=False)
    assert CANARY.exists()


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("payload", PICKLES + SETTINGS, ids=lambda payload: payload.__name__)
def test_no_checkpoint_runs_code(planted, monkeypatch, payload, entry):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # where somebody asked torch to trust every file
    path = planted(payload)
    if payload in SETTINGS and entry not in ("load_from_checkpoint", "load_export", *INPUTS):
        ENTRIES[entry](path)  # the commands take settings from the run's configuration, never from a checkpoint
    else:
        with pytest.raises((Exception, SystemExit)):
            ENTRIES[entry](path)
    assert not CANARY.exists()


@pytest.mark.parametrize("payload", PICKLES + SETTINGS, ids=lambda payload: payload.__name__)
def test_no_fetched_checkpoint_runs_code(planted, address, monkeypatch, tmp_path, payload):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(Exception):  # noqa: B017, PT011  each payload is refused in another way
        Model.load_from_checkpoint(f"{address}/{planted(payload)}")
    assert not CANARY.exists()


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_commands_take_no_address(planted, address, capfd, stage):
    with pytest.raises(SystemExit):
        ENTRIES[stage](f"{address}/{planted(in_hyper_parameters)}")
    assert "is an address" in capfd.readouterr().err
    assert not CANARY.exists()


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_refusal_is_one_line(planted, stage, capfd):
    with pytest.raises(SystemExit) as stopped:
        ENTRIES[stage](planted(in_hyper_parameters))
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "lit-project: error" in line]
    assert stopped.value.code == 2
    assert "planted.ckpt cannot be loaded: it holds more than tensors and plain values" in line


@pytest.mark.parametrize("folder", ["", "export"])
@pytest.mark.parametrize("payload", SETTINGS[1:], ids=lambda payload: payload.__name__)
def test_no_settings_run_code_when_a_model_is_loaded(planted, payload, folder):
    planted(payload)  # which writes the module that an import would run
    Path("copied").mkdir(exist_ok=True)
    run = Path(shutil.copytree("runs/honest", "copied/run", dirs_exist_ok=True))
    file = run / folder / ("settings.yaml" if folder else "config.yaml")
    settings = yaml.safe_load(file.read_text())
    named = {"hyper_parameters": settings["model"]}
    payload(named)
    settings["model"] = named["hyper_parameters"]
    file.write_text(yaml.safe_dump(settings))
    with pytest.raises(RunError, match="does not fit the code"):
        load_ready(run / folder)
    assert not CANARY.exists()


def test_honest_checkpoints_load(honest, monkeypatch):
    monkeypatch.chdir(honest)
    for path in Path("runs/honest/checkpoints").glob("[bl]*.ckpt"):
        Model.load_from_checkpoint(path)
        load_ready(path)
        for stage in ("validate", "test", "predict"):
            ENTRIES[stage](path)


def test_zip_archive_that_is_no_checkpoint_is_refused(honest, monkeypatch):
    monkeypatch.chdir(honest)
    with zipfile.ZipFile("planted.ckpt", "w") as file:
        file.writestr("data.pkl", old_opcodes({}))
    with pytest.raises(SystemExit):
        ENTRIES["test"]("planted.ckpt")
    assert not CANARY.exists()
