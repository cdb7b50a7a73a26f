"""Real short runs, through the command line: what a user types is what is tested."""

import csv
import json
import subprocess
import sys

import pytest
import torch
from conftest import last, same

from {{ cookiecutter.__package }}.arguments import NAME
from {{ cookiecutter.__package }}.cli import CLI, main
from {{ cookiecutter.__package }}.model import Model


def weights(run):
    return last(run)["state_dict"]


def test_fit_then_validate_test_and_predict(workplace, short, capsys):
    main(["fit", "--run", "first", *short])
    run = workplace / "runs/first"
    assert {"best.ckpt", "last.ckpt"} == {path.name for path in (run / "checkpoints").iterdir()}
    assert (run / "config.yaml").is_file()
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert str(run / "curves.png") in capsys.readouterr().out
    for command in ("validate", "test"):
        main([command, *short])
        metrics = json.loads((run / f"{command}.json").read_text())
        assert metrics[f"{command.removesuffix('idate')}/loss"] > 0
    main(["predict", "--run", "first", *short])
    assert len(torch.load(run / "predictions.pt", weights_only=True)) > 0
    assert {path.name for path in workplace.iterdir()} - {"data"} == {"runs"}
    assert [path.name for path in (workplace / "runs").iterdir()] == ["first"]


def test_training_and_validation_are_logged(workplace, short):
    main(["fit", "--run", "logged", *short])
    with (workplace / "runs/logged/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    logged = {name for row in rows for name, value in row.items() if value}
    assert {"train/loss", "val/loss", "epoch", "step"} < logged
    assert any(name.startswith("lr-") for name in logged)


def test_checkpoint_of_ours_is_safe_to_load(short):
    main(["fit", "--run", "saved", *short])
    assert torch.load("runs/saved/checkpoints/best.ckpt", weights_only=True)["hyper_parameters"]["network"]
    model = Model.load_from_checkpoint("runs/saved/checkpoints/last.ckpt", weights_only=True)
    assert same(model.state_dict(), weights("saved"))


def test_same_seed_gives_the_same_weights_and_another_seed_others(short):
    quiet = [*short, "--trainer.logger=false"]
    for run, seed in (("one", "1"), ("again", "1"), ("other", "2")):
        main(["fit", "--run", run, "--seed_everything", seed, *quiet])
    assert same(weights("one"), weights("again"))
    assert not same(weights("one"), weights("other"))


def test_a_run_is_repeated_from_its_own_configuration(short):
    main(["fit", "--run", "one", "--trainer.logger=false", *short])
    main(["fit", "--run", "two", "--config", "runs/one/config.yaml"])
    assert same(weights("one"), weights("two"))


def test_early_stopping_stops_and_says_why(short, capsys):
    stop_at_once = ["--early_stopping.patience=1", "--early_stopping.min_delta=1e9", "--trainer.max_epochs=9"]
    trainer = CLI(["fit", *short, "--trainer.logger=false", *stop_at_once]).trainer
    assert trainer.current_epoch < 9
    assert "did not improve" in capsys.readouterr().out


def test_module_is_the_same_command():
    package = Model.__module__.removesuffix(".model")
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
        ([], "fit"),
        (["fti"], "fit"),
        (["memory", "--trainer.precisio=16"], "--trainer.precision"),
        (["test"], "start one with fit"),
        (["test", "--run", "missing"], "no run 'missing'"),
        (["test", "--ckpt_path", "missing.ckpt"], "no checkpoint missing.ckpt"),
    ],
)
def test_mistake_gets_one_line_and_leaves_nothing(arguments, told, workplace, capfd):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith(NAME)]
    assert stopped.value.code == 2
    assert len(lines) == 1
    assert told in lines[0]
    assert not list(workplace.glob("runs/*"))
