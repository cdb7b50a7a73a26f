"""Real short runs, through the command line: what a user types is what is tested."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import NAME, SETTINGS, last, same

from {{ cookiecutter.__package }}.__main__ import load_parts, main

PARTS = load_parts()
# The commands for which this model and its data have what they need.
NEEDS = {"validate": ("validation_step", "val_dataloader"), "test": ("test_step", "test_dataloader")}
JUDGED = [
    command
    for command, (step, loader) in NEEDS.items()
    if getattr(PARTS.model, step) is not getattr(pl.LightningModule, step)
    and getattr(PARTS.data, loader) is not getattr(pl.LightningDataModule, loader)
]


def weights(run):
    return last(run)["state_dict"]


def test_fit_then_validate_test_and_predict(workplace, short, capsys):
    main(["fit", "--run", "first", *short])
    run = workplace / "runs/first"
    expected = {"best.ckpt", "last.ckpt"} if SETTINGS.get("best_checkpoint") else {"last.ckpt"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == expected
    assert (run / "config.yaml").is_file()
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert str(run / "curves.png") in capsys.readouterr().out
    for command in JUDGED:
        main([command, *short])
        assert json.loads((run / f"{command}.json").read_text()), f"{command} measured nothing: self.log in its step"
    main(["predict", "--run", "first", *short])
    assert len(torch.load(run / "predictions.pt", weights_only=True)) > 0
    assert {path.name for path in workplace.iterdir()} == {"data", "runs"}
    assert [path.name for path in (workplace / "runs").iterdir()] == ["first"]


def test_training_is_logged(workplace, short):
    main(["fit", "--run", "logged", *short])
    with (workplace / "runs/logged/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    logged = {name for row in rows for name, value in row.items() if value}
    assert {"epoch", "step"} < logged, "nothing was logged: call self.log in training_step"
    sections = [SETTINGS.get(section) or {} for section in ("best_checkpoint", "early_stopping")]
    monitored = {section["monitor"] for section in sections if section.get("monitor")}
    assert monitored <= logged, f"{monitored - logged} is monitored and was not logged: call self.log"


def test_own_checkpoint_is_safe_to_load(short):
    main(["fit", "--run", "saved", *short])
    model = PARTS.model.load_from_checkpoint("runs/saved/checkpoints/last.ckpt", weights_only=True)
    assert same(model.state_dict(), weights("saved"))


def test_same_seed_gives_the_same_weights(short):
    for run in ("one", "again"):
        main(["fit", "--run", run, "--seed_everything=1", "--trainer.logger=false", *short])
    assert same(weights("one"), weights("again")), "two equal runs differ: draw only from torch or NumPy"


def test_a_run_is_repeated_from_its_own_configuration(short):
    main(["fit", "--run", "one", "--trainer.logger=false", *short])
    main(["fit", "--run", "two", "--config", "runs/one/config.yaml"])
    assert same(weights("one"), weights("two"))


def test_module_is_the_same_command():
    package = load_parts.__module__.rpartition(".")[0]
    listing = subprocess.run([sys.executable, "-m", package, "--help"], capture_output=True, text=True, check=True)
    assert listing.stdout.startswith(f"usage: {NAME}")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fit", "--trainer.max_epoch=3"], "--trainer.max_epochs"),
        (["fit", "--trainer.max_epochs=many"], "expected int or NoneType, got 'many'"),
        (["fit", "--config", "missing.yaml"], "missing.yaml"),
        (["fit", "--preset", "missing"], "no preset 'missing'"),
        (["fit", "--run", "../outside"], "cannot name a folder"),
        (["fit", "--run"], "expected one argument"),
        ([], "fit"),
        (["fti"], "fit"),
        (["memory", "--trainer.precisio=16"], "--trainer.precision"),
        (["test"], "there is no run yet"),
        (["test", "--run", "missing"], "no run 'missing'"),
        (["test", "--ckpt_path", "missing.ckpt"], "no checkpoint missing.ckpt"),
    ],
)
def test_mistake_gets_one_line_and_leaves_nothing(arguments, told, workplace, refused):
    assert told in refused(*arguments)
    assert not list(workplace.glob("runs/*"))


@pytest.mark.parametrize(
    "line", ["run: one", "fresh: true", "fresh: false", "preset: cpu", "ckpt_path: best", "runs: here"]
)
def test_words_of_the_command_line_are_refused_in_a_configuration(line, refused):
    Path("mine.yaml").write_text(line + "\n", encoding="utf-8")
    assert line.partition(":")[0] in refused("fit", "--config", "mine.yaml")
