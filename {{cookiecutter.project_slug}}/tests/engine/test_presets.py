"""Presets: that they add up, and that this model trains with those that run anywhere."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import CONFIGS, Losses, last

from {{ cookiecutter.__package }}.__main__ import main

PRESETS = {path.stem: path for path in sorted(CONFIGS.glob("presets/*.yaml"))}


def test_every_preset_says_when_to_use_it_and_parses(capsys):
    words = [word for name in PRESETS for word in ("--preset", name)]
    with pytest.raises(SystemExit) as ended:
        main(["fit", *words, "--print_config"])
    assert not ended.value.code, "a preset sets what this model or its data do not have: adapt it, or delete it"
    trainer = yaml.safe_load(capsys.readouterr().out)["trainer"]
    for path in PRESETS.values():
        text = path.read_text(encoding="utf-8")
        about = next(line for line in text.splitlines() if not line.startswith("# yaml-language-server:"))
        assert about.startswith("# "), f"{path.name}: say in the first line when to use it"
        assert trainer.keys() > yaml.safe_load(text).get("trainer", {}).keys() - {"callbacks+"}


@pytest.mark.parametrize("preset", ["bf16", "fp16"])
def test_reduced_precision_trains_weights_of_the_same_dtypes(preset, short):
    losses = Losses()
    for run, flags in (("full", []), ("reduced", ["--preset", preset])):
        main(["fit", "--run", run, *flags, *short, "--trainer.max_epochs=1"], callbacks=[losses])
    full, reduced = (
        {name: weight.dtype for name, weight in last(run)["state_dict"].items()} for run in ("full", "reduced")
    )
    assert full == reduced
    assert len(losses.values) >= 2


def test_debug_fast_tries_everything_and_keeps_nothing(workplace):
    main(["fit", "--run", "one", "--preset", "debug-fast", "--preset", "cpu"])
    assert not list(workplace.glob("runs/*"))


def test_debug_overfit_learns_one_batch_by_heart(short, parts):
    if not parts[0].automatic_optimization:
        pytest.skip("several optimizers may work against each other, so that no loss need fall")
    short = [flag for flag in short if "limit_train_batches" not in flag and "max_epochs" not in flag]
    losses = Losses()
    main(["fit", "--run", "one", *short, "--preset", "debug-overfit", "--trainer.max_epochs=60"], callbacks=[losses])
    first, final = losses.values[0], losses.values[-1]
    assert len(losses.values) == 60
    assert final < first / 2, f"60 times the same batch brought the loss from {first:.3g} to {final:.3g} only"


@pytest.mark.slow
def test_compiled_network_computes_the_same_and_keeps_its_names(short):
    main(["fit", "--run", "compiled", "--preset", "compile", *short])
    measured = []
    for preset in ([], ["--preset", "compile"]):  # a run of the one is used by the other
        main(["test", "--run", "compiled", *preset, *short])
        measured.append(json.loads(Path("runs/compiled/test.json").read_text()))
        assert measured[-1].pop("checkpoint")
    assert measured[0] == pytest.approx(measured[1], rel=1e-4)
