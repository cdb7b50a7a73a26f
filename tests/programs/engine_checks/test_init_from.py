"""Trainings that begin with weights that exist, and what a checkpoint that goes on says."""

import json
import shutil
import sys
import types
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import SHORT, last, same
from lit_project.__main__ import main
from lit_project.engine.command.init_from import FILE
from lit_project.engine.errors import RunError
from lit_project.engine.saving import shards, weights
from torch import nn

ONCE = ["--trainer.logger=false", "--trainer.max_epochs=1"]


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the engine catches it."""


class First(pl.Callback):
    """The weights before the first step; may stop there as a kill would."""

    def __init__(self, is_killed=False):
        self.is_killed = is_killed

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if not hasattr(self, "weights"):
            self.weights = {name: weight.detach().clone() for name, weight in pl_module.state_dict().items()}
        if self.is_killed:
            raise Killed


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        main(["fit", "--run", "old", *SHORT, "--data.batch_size=8", *ONCE])
        return Path("runs").resolve()


@pytest.fixture
def old(trained_once, workplace):
    """The best weights of a finished run, runs/old."""
    shutil.copytree(trained_once, workplace / "runs")
    return torch.load("runs/old/checkpoints/best.ckpt", weights_only=True)["state_dict"]


def begun(flags, **options):
    first = First(**options)
    main(["fit", *ONCE, *flags], callbacks=[first])
    return first.weights


WAYS = {
    "run": ("old", lambda weights: None),
    "folder of a run": ("runs/old", lambda weights: None),
    "checkpoint": ("runs/old/checkpoints/last.ckpt", lambda weights: None),
    "state dict": ("plain.pt", lambda weights: torch.save(weights, "plain.pt")),
    "section model": ("plain.pt", lambda weights: torch.save({"model": weights, "epoch": 3}, "plain.pt")),
    "before torch 1.6": (
        "plain.pt",
        lambda weights: torch.save(weights, "plain.pt", _use_new_zipfile_serialization=False),
    ),
    "network alone": (
        "plain.pt",
        lambda weights: torch.save({name.removeprefix("network."): w for name, w in weights.items()}, "plain.pt"),
    ),
    "compiled, in DistributedDataParallel": (
        "plain.pt",
        lambda weights: torch.save(
            {"module." + name.replace("network.", "network._orig_mod."): w for name, w in weights.items()}, "plain.pt"
        ),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_training_begins_with_the_weights_of(way, old, short, capfd):
    wanted, save = WAYS[way]
    save(old)
    expected = last("old")["state_dict"] if way == "checkpoint" else old
    got = begun(["--run", "new", *short, f"--init_from={wanted}", "--trainer.fast_dev_run=true"])
    assert same(got, expected)
    told = capfd.readouterr().out
    assert "Begins with the weights of " in told
    assert f"{len(old)} of {len(old)} tensors" in told
    assert ("all in network" in told) == (way == "network alone")
    assert not Path("runs/new").exists()


def test_safetensors_are_read_with_their_package_or_refused_without_it(old, short, monkeypatch, refused):
    Path("plain.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    told = refused("fit", "--run", "new", *short, "--init_from=plain.safetensors")
    assert "needs the package safetensors" in told
    assert "try: uv run --extra export" in told
    package = types.SimpleNamespace(load_file=lambda path: old)
    monkeypatch.setitem(sys.modules, "safetensors.torch", package)
    assert same(begun(["--run", "new", *short, "--init_from=plain.safetensors"]), old)


def test_other_weights_are_refused_or_loaded_in_part_with_a_list_of_the_rest(old, short, refused, capfd):
    weight, bias = [name for name in old if name.startswith("network.head")]
    del old[bias]
    old[weight] = torch.zeros(5, 3)
    old |= {f"other.{number}": torch.zeros(1) for number in range(8)}
    torch.save(old, "other.pt")
    told = refused("fit", "--run", "new", *short, "--init_from=other.pt")
    assert f"of another model: {weight} is (5, 3) in it and (10, 512) here" in told
    assert "try: --init_partial" in told
    got = begun(["--run", "new", *short, "--init_from=other.pt", "--init_partial"])
    assert all(torch.equal(got[name], old[name]) for name in got if name not in (weight, bias))
    told = capfd.readouterr().out
    assert f"other.pt: {len(got) - 2} of {len(got)} tensors\n" in told
    assert f"of another shape: {weight} (5, 3), here (10, 512)\n" in told
    assert f"not in it: {bias}\n" in told
    assert "not used: other.0, other.1, other.2, other.3, other.4, and 3 more\n" in told


def test_part_of_the_network_is_strict_within_itself(old, short, refused):
    features = {name.removeprefix("network.features."): w for name, w in old.items() if "features" in name}
    torch.save(features, "features.pt")
    got = begun(["--run", "new", *short, "--init_from=features.pt"])
    assert all(torch.equal(got[name], old[name]) for name in got if "features" in name)
    features.popitem()
    torch.save(features, "features.pt")
    assert "network.features.3.1.bias is missing in it" in refused("fit", *short, "--init_from=features.pt")


def test_weights_that_fit_two_modules_alike_are_refused():
    torch.save({"weight": torch.zeros(2, 2)}, "two.pt")
    model = nn.ModuleDict({"student": nn.Linear(2, 2, bias=False), "teacher": nn.Linear(2, 2, bias=False)})
    with pytest.raises(RunError, match="fit student and teacher alike"):
        weights.begin_with(model, Path("two.pt"), is_partial=True)


def test_weights_that_two_modules_share_may_be_in_a_file_once():
    model = nn.ModuleDict({"embedding": nn.Embedding(3, 2), "head": nn.Linear(2, 3, bias=False)})
    model["head"].weight = model["embedding"].weight
    torch.save({"embedding.weight": torch.ones(3, 2)}, "tied.pt")
    weights.begin_with(model, Path("tied.pt"), is_partial=False)
    assert torch.equal(model["head"].weight, torch.ones(3, 2))


def test_run_that_is_killed_before_its_first_save_begins_with_the_same_weights_again(old, short):
    flags = ["--run", "new", *short]
    with pytest.raises(Killed):
        begun([*flags, "--init_from=old"], is_killed=True)
    assert not list(Path("runs/new").glob("checkpoints/last.ckpt"))
    assert same(begun(flags), old)  # without the flag
    assert json.loads(Path("runs/new", FILE).read_text())["init_from"] == "old"
    begun(["--run", "again", *short, "--config=runs/new/config.yaml"])
    assert not Path("runs/again", FILE).exists()


def test_weights_that_are_gone_are_told(old, short, refused):
    torch.save(old, "gone.pt")
    with pytest.raises(Killed):
        begun(["--run", "new", *short, "--init_from=gone.pt"], is_killed=True)
    Path("gone.pt").unlink()
    assert "gone.pt, which is gone" in refused("fit", "--run", "new")


def test_run_that_goes_on_needs_the_same_flag_or_none(old, short, stop_at, refused):
    main(["fit", "--run", "untouched", *short, "--init_from=old"])
    for flags in (["--init_from=old"], ["--init_from=old"], []):
        stop_at(1)
        with pytest.raises(SystemExit):
            main(["fit", "--run", "stopped", *short, *flags])
    told = refused("fit", "--run", "stopped", "--init_from=runs/old/checkpoints/last.ckpt")
    assert "run stopped is half done and goes on from its own last.ckpt" in told
    assert "try: fit --run NEW --init_from runs/old/checkpoints/last.ckpt" in told
    shutil.rmtree("runs/old")  # no longer needed
    stop_at(10_000)
    main(["fit", "--run", "stopped", *short, "--init_from=old"])
    assert same(last("untouched")["state_dict"], last("stopped")["state_dict"])
    assert json.loads(Path("runs/stopped", FILE).read_text())["init_from"] == "old"


def test_half_done_run_that_began_with_new_weights_is_left_alone(old, short, stop_at, refused):
    stop_at(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "new", *short])
    assert "run new is half done" in refused("fit", "--run", "new", "--init_from=old")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["fit", "--init_from=missing"], "there is no such run or file; the newest runs: old"),
        (["fit", "--init_from=http://example.org/x.pt"], "is an address"),
        (["fit", "--init_from=old", "--ckpt_path=last"], "begins one with weights alone"),
        (["fit", "--init_partial"], "there is none"),
        (["fit", "--init_from="], "--init_from is empty"),
        (["test", "--init_from=old"], "test uses a trained model"),
        (["fit", "--init_from=runs"], "neither a run nor a checkpoint"),
        (["fit", "--init_from=shards.ckpt"], "shards.ckpt cannot be loaded: the file is damaged or no checkpoint"),
        (["fit", "--init_from=empty.pt"], "holds no weights"),
        (["fit", "--init_from=other.pt"], "is missing in it"),
        (["fit", "--init_from=other.pt", "--init_partial"], "has the name and the shape of one of this"),
        (["fit", "--init_from=unsafe.pt"], "more than tensors and plain values"),
        (["fit", "--config=mine.yaml"], "init_from is no setting"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_init_from_is_refused_in_one_line(old, short, refused, command, told):
    Path("shards.ckpt").mkdir()
    Path("shards.ckpt", shards.INDEX).touch()
    torch.save({"epoch": 3}, "empty.pt")
    torch.save({"elsewhere": torch.zeros(1)}, "other.pt")
    torch.save({"state_dict": old, "where": Path("here")}, "unsafe.pt")
    Path("mine.yaml").write_text("init_from: old\n")
    assert told in refused(*command, *(short if command[0] == "fit" else []))
    assert [path.name for path in Path("runs").iterdir()] == ["old"]


def test_going_on_from_another_checkpoint_is_told_with_its_place(old, short, capfd):
    main(["fit", "--run", "more", *short, "--trainer.max_epochs=2", "--ckpt_path=runs/old/checkpoints/last.ckpt"])
    told = capfd.readouterr().out
    assert (
        "Goes on with the training of runs/old/checkpoints/last.ckpt from step 3, epoch 1, where it had ended" in told
    )
    assert "--init_from begins a new one" in told
    assert last("more")["global_step"] == 6
