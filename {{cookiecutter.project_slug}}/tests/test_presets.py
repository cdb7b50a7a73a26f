"""Presets: what they set, that they add up, and what a machine says that cannot run them."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml
from conftest import last

from {{ cookiecutter.__package }} import launch, objective
from {{ cookiecutter.__package }}.arguments import NAME, PRESETS
from {{ cookiecutter.__package }}.cli import main


def settings(capsys, *presets):
    """The Trainer's settings with these presets."""
    with pytest.raises(SystemExit) as ended:
        main(["fit", *(word for name in presets for word in ("--preset", name)), "--print_config"])
    assert not ended.value.code
    return yaml.safe_load(capsys.readouterr().out)["trainer"]


def test_every_preset_is_told_in_a_line_and_parses(capsys):
    got = settings(capsys, *PRESETS)
    for path in PRESETS.values():
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# ")
        assert got.keys() > yaml.safe_load(text).get("trainer", {}).keys() - {"callbacks+"}


def test_presets_add_up_and_the_later_one_wins(capsys):
    got = settings(capsys, "compile", "ema", "fsdp", "cpu", "fp16")
    assert [each["class_path"].rpartition(".")[2] for each in got["callbacks"]] == ["Compile", "EMAWeightAveraging"]
    assert (got["accelerator"], got["devices"], got["strategy"], got["precision"]) == ("cpu", 1, "auto", "16-mixed")


@pytest.mark.parametrize("name", ["gpu", "mps", "tpu", "fsdp", "deepspeed"])
def test_absent_hardware_is_told_in_two_lines(name, workplace, capfd):
    wanted = yaml.safe_load(PRESETS[name].read_text(encoding="utf-8"))["trainer"]
    available, *_ = launch.ACCELERATORS[wanted["accelerator"]]
    if available():
        pytest.skip(f"this machine has the accelerator {wanted['accelerator']}")
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--preset", name])
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith(NAME)]
    assert stopped.value.code == 2
    assert [line.split()[1] for line in told] == ["error:", "try:"]
    assert not list(workplace.glob("runs/*"))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        (
            {"TORCHELASTIC_RUN_ID": "job", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"},
            {"devices": 8, "num_nodes": 2},
        ),
        (
            {"SLURM_NTASKS": "12", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "3", "SLURM_JOB_NAME": "train"},
            {"devices": 4, "num_nodes": 3},
        ),
    ],
    ids=["alone", "torchrun", "slurm"],
)
def test_launcher_decides_how_many_processes_there_are(monkeypatch, environment, expected):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    got = launch.launched()
    got.pop("plugins", None)
    assert got == expected


@pytest.mark.parametrize("preset", ["bf16", "fp16"])
def test_reduced_precision_trains_weights_of_full_precision(preset, short):
    main(["fit", "--run", "one", "--preset", preset, *short, "--trainer.max_epochs=1", "--data.batch_size=4"])
    assert {weight.dtype for weight in last("one")["state_dict"].values()} == {torch.float32}
    assert rows("one")


def rows(run):
    with Path("runs", run, "metrics.csv").open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


def test_debug_fast_tries_everything_and_keeps_nothing(workplace):
    main(["fit", "--run", "one", "--preset", "debug-fast", "--preset", "cpu"])
    assert not list(workplace.glob("runs/*"))


def test_debug_overfit_learns_one_batch_by_heart(short):
    short = [flag for flag in short if "limit_train_batches" not in flag and "max_epochs" not in flag]
    main(["fit", "--run", "one", *short, "--preset", "debug-overfit", "--data.batch_size=4", "--trainer.max_epochs=60"])
    losses = rows("one")
    assert len(losses) == 60
    assert losses[-1] < losses[0] / 2


def test_debug_profile_prints_and_keeps_a_table(short, capsys):
    main(["fit", "--run", "one", "--preset", "debug-profile", *short])
    table = Path("runs/one/profile.txt").read_text()
    assert table in capsys.readouterr().out
    assert "training_step" in table
    assert max(map(len, table.splitlines())) <= 80


def test_debug_nan_names_the_operation(short, monkeypatch, capfd):
    loss = objective.loss
    monkeypatch.setattr(objective, "loss", lambda *batch: loss(*batch) + torch.sqrt(batch[0] - batch[0]).sum())
    with pytest.raises(SystemExit) as stopped, pytest.warns(UserWarning, match="Traceback of forward call"):
        main(["fit", "--run", "one", "--preset", "debug-nan", *short, "--trainer.logger=false"])
    assert stopped.value.code == 2
    assert "returned nan values" in capfd.readouterr().err


@pytest.mark.slow
def test_compiled_network_computes_the_same_and_keeps_its_names(short):
    main(["fit", "--run", "compiled", "--preset", "compile", *short])
    measured = []
    for preset in ([], ["--preset", "compile"]):  # a run of the one is used by the other
        main(["test", "--run", "compiled", *preset, *short])
        measured.append(json.loads(Path("runs/compiled/test.json").read_text()))
    assert measured[0] == pytest.approx(measured[1], rel=1e-4)


def test_merge_refuses_what_is_no_checkpoint_in_shards(capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["merge", "missing.ckpt"])
    assert stopped.value.code == 2
    assert "missing.ckpt is no checkpoint in shards" in capfd.readouterr().err
