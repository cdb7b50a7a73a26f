"""What a run refuses, each in one line, and what it leaves behind: everything."""

import shutil
import sys
from pathlib import Path

import lit_project
import pytest
import torch
import yaml
from conftest import SHORT, last
from lit_project.__main__ import main
from lit_project.engine.devices import launch
from lit_project.engine.errors import RunError
from lit_project.engine.saving.checkpoints import refuse_unsafe_values
from lit_project.model import Model
from lit_project.objective import Objective

PRESETS = {path.stem: path for path in Path(launch.__file__).parents[2].glob("configs/presets/*.yaml")}


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        main(["fit", "--run", "one", *SHORT, "--trainer.logger=false"])
        return Path("runs").resolve()


@pytest.fixture
def trained(trained_once, workplace):
    """A finished run, runs/one."""
    shutil.copytree(trained_once, workplace / "runs")


def test_loss_that_is_no_number_stops_with_its_place(short, monkeypatch, refused):
    monkeypatch.setattr(Model, "training_step", lambda self, batch, batch_idx: self(batch[0]).sum() * float("nan"))
    assert "the loss is nan at step" in refused("fit", "--run", "two", *short, "--trainer.logger=false")


def test_checkpoint_of_another_model_is_refused_with_the_first_difference(trained, refused):
    checkpoint = last("one")
    name = next(iter(checkpoint["state_dict"]))
    checkpoint["state_dict"]["other"] = checkpoint["state_dict"].pop(name)
    torch.save(checkpoint, "other.ckpt")
    assert f"of another model: {name} is missing in it" in refused("test", "--run", "one", "--ckpt_path", "other.ckpt")


def test_torn_checkpoint_is_refused(trained, refused):
    path = Path("runs/one/checkpoints/last.ckpt")
    path.write_bytes(path.read_bytes()[:-1000])
    assert "the file is damaged or no checkpoint" in refused("test", "--ckpt_path", "last")


def test_checkpoint_that_could_run_code_is_refused(refused):
    torch.save({"state_dict": {}, "hyper_parameters": {"where": Path("here")}}, "other.ckpt")
    assert "it holds more than tensors and plain values" in refused("test", "--ckpt_path", "other.ckpt")


def test_other_batches_are_refused_before_anything_is_changed(short, stop_at, refused):
    short.append("--trainer.limit_train_batches=1.0")
    stop_at(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "one", *short])
    before = Path("runs/one/config.yaml").read_text()
    assert "data.batch_size" in refused("fit", "--run", "one", "--data.batch_size=4")
    assert Path("runs/one/config.yaml").read_text() == before


def test_early_stopping_stops_and_says_why(short, capsys):
    main(["fit", *short, "--early_stopping.patience=1", "--early_stopping.min_delta=1e9", "--trainer.max_epochs=9"])
    assert "did not improve" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gpu", "mps", "tpu", "fsdp", "deepspeed"])
def test_absent_hardware_is_told_with_what_to_try(name, workplace, refused):
    wanted = yaml.safe_load(PRESETS[name].read_text(encoding="utf-8"))["trainer"]
    is_available, *_ = launch.ACCELERATORS[wanted["accelerator"]]
    if is_available():
        pytest.skip(f"this machine has the accelerator {wanted['accelerator']}")
    assert "lit-project: try: " in refused("fit", "--preset", name)
    assert not list(workplace.glob("runs/*"))


def test_debug_nan_names_the_operation(short, monkeypatch, refused):
    loss = Objective.forward
    nan = lambda self, outputs, targets: loss(self, outputs, targets) + torch.sqrt(outputs - outputs).sum()  # noqa: E731
    monkeypatch.setattr(Objective, "forward", nan)
    with pytest.warns(UserWarning, match="Traceback of forward call"):
        told = refused("fit", "--run", "one", "--preset", "debug-nan", *short, "--trainer.logger=false")
    assert "returned nan values" in told


def test_presets_add_up_and_the_later_one_wins(capsys):
    words = [word for name in ("compile", "ema", "fsdp", "cpu", "fp16") for word in ("--preset", name)]
    with pytest.raises(SystemExit):
        main(["fit", *words, "--print_config"])
    got = yaml.safe_load(capsys.readouterr().out)["trainer"]
    assert [one["class_path"].rpartition(".")[2] for one in got["callbacks"]] == ["Compile", "EMAWeightAveraging"]
    assert (got["accelerator"], got["devices"], got["strategy"], got["precision"]) == ("cpu", 1, "auto", "16-mixed")


def test_stochastic_weight_averaging_is_refused_before_anything_is_written(short, workplace, refused):
    averaging = {"class_path": "pytorch_lightning.callbacks.StochasticWeightAveraging", "init_args": {"swa_lrs": 0.01}}
    Path("mine.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [averaging]}}))
    told = refused("fit", "--run", "two", *short, "--config", "mine.yaml")
    assert "StochasticWeightAveraging cannot go on exactly" in told
    assert "--preset ema" in told
    assert not list(workplace.glob("runs/*"))


def test_value_that_no_checkpoint_can_hold_is_told_with_its_place():
    callbacks = {"Remembers": {"history": [1, {"worst": Path("here")}]}}
    with pytest.raises(RunError, match="callbacks Remembers history 1 worst is a PosixPath"):
        refuse_unsafe_values({"callbacks": callbacks, "epoch": 3})


# Modules of a team, and a stand-in for the package `lightning`, which need not be installed.
MODULES = {
    "lit_project/broken.py": "import no_such_package",
    "lit_project/mine.py": """
import pytorch_lightning as pl
class Mine(pl.Callback):
    def __init__(self, every: int = 1):
        if every < 0:
            raise ValueError("every is negative")
class NoCallback:
    pass
""",
    "lit_project/theirs.py": "import lightning.pytorch as pl\nclass Theirs(pl.Callback):\n    pass",
    "lightning/__init__.py": "",
    "lightning/pytorch/__init__.py": "class Callback:\n    pass",
}
CALLBACK = "pytorch_lightning.callbacks.callback.Callback"
NOT_BUILT = {
    "import that fails": ("lit_project.broken.Mine", {}, "No module named 'no_such_package'"),
    "typo in the module": ("lit_project.mine_.Mine", {}, "Did you mean lit_project.mine.Mine?"),
    "typo in the class": ("lit_project.mine.Mien", {}, "has no attribute 'Mien'. Did you mean lit_project.mine.Mine?"),
    "another kind": ("lit_project.mine.NoCallback", {}, f"lit_project.mine.NoCallback does not derive from {CALLBACK}"),
    "the other package": ("lit_project.theirs.Theirs", {}, "package is pytorch_lightning here, not lightning"),
    "a class of the other package": ("lightning.pytorch.Timer", {}, "package is pytorch_lightning here, not lightning"),
    "unknown argument": ("lit_project.mine.Mine", {"evry": 2}, "Did you mean --trainer.callbacks.every?"),
    "wrong type": ("lit_project.mine.Mine", {"every": "x"}, "--trainer.callbacks.every: expected int, got 'x'"),
    "constructor": ("lit_project.mine.Mine", {"every": -1}, "error: lit_project.mine.Mine: every is negative"),
}


@pytest.fixture
def modules(tmp_path, monkeypatch):
    for name, source in MODULES.items():
        (tmp_path / "modules" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "modules" / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setattr(lit_project, "__path__", [*lit_project.__path__, str(tmp_path / "modules/lit_project")])
    yield
    for name in MODULES:
        sys.modules.pop(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."), None)


@pytest.mark.parametrize("mistake", NOT_BUILT)
def test_callback_that_cannot_be_built_tells_why(modules, short, refused, workplace, mistake):
    path, arguments, told = NOT_BUILT[mistake]
    timer = {"class_path": "pytorch_lightning.callbacks.Timer"}
    settings = {"trainer": {"callbacks": [timer, {"class_path": path, "init_args": arguments}]}}
    Path("mine.yaml").write_text(yaml.safe_dump(settings))
    typed = [f"--trainer.callbacks.{name}={value}" for name, value in arguments.items()]
    for flags in (["--config=mine.yaml"], [f"--trainer.callbacks={path}", *typed]):
        assert refused("fit", *short, *flags).endswith(told)
    assert not list(workplace.glob("runs/*"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--trainer.logger=lit_project.broken.Mine"], "No module named 'no_such_package'"),
        (["--trainer.logger=pytorch_lightning.loggers.CSVLogge"], "Did you mean pytorch_lightning.loggers.CSVLogger?"),
        (["--trainer.strategy=lit_project.broken.Mine"], "No module named 'no_such_package'"),
        (["--model.optimizer=torch.optim.Adamm"], "Did you mean torch.optim.Adam?"),
        (["--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=x"], "--model.optimizer.lr: expected float"),
    ],
)
def test_logger_strategy_or_optimizer_that_cannot_be_built_tells_why(modules, refused, flags, told):
    assert told in refused("fit", *flags)


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--best_checkpoint.save_top_k=3", "save_top_k is 3, and best.ckpt is one file"),
        ("--best_checkpoint.filename=good", "filename is good, and test looks for best"),
        ("--best_checkpoint.save_last=true", "save_last would write last.ckpt too"),
    ],
)
def test_best_checkpoint_that_would_not_be_the_best_is_refused(refused, flag, told):
    assert told in refused("fit", "--run", "one", *SHORT, flag)
    assert not Path("runs/one").exists()
