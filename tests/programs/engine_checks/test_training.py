"""Schedules, seeds, launchers and the profile."""

import csv
import math
import os
from pathlib import Path

import pytest
import torch
from conftest import last, same
from lit_project.__main__ import main
from lit_project.engine.devices import launch
from lit_project.engine.training.schedules import WarmupCosine


@pytest.mark.parametrize(("step", "fraction"), [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.55), (100, 0.1), (1000, 0.1)])
def test_learning_rate_rises_then_falls_along_a_cosine(step, fraction):
    schedule = WarmupCosine(torch.optim.SGD([torch.zeros(1)], lr=1.0), warmup=0.1, floor=0.1)
    schedule.total_steps = 100
    assert math.isclose(schedule.factor(step), fraction, abs_tol=1e-12)


def test_schedule_without_a_rise_begins_at_its_peak():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    WarmupCosine(optimizer, warmup=0.0, floor=0.0)  # of a length that is told later
    assert optimizer.param_groups[0]["lr"] == 1.0


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
    got = launch.launcher_settings()
    got.pop("plugins", None)
    assert got == expected


def test_command_leaves_no_word_of_a_launcher():
    """Which the next command, or a program that this one starts, would wait for."""
    before = dict(os.environ)
    main(["fit", "--trainer.fast_dev_run=1", "--preset=ddp-cpu", "--trainer.devices=1"])
    assert dict(os.environ) == before


def test_training_and_validation_are_logged(short):
    main(["fit", "--run", "logged", *short])
    with Path("runs/logged/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    logged = {name for row in rows for name, value in row.items() if value}
    assert {"train/loss", "val/loss", "epoch", "step"} < logged
    assert any(name.startswith("lr-") for name in logged)


def test_debug_profile_prints_and_keeps_a_table(short, capsys):
    main(["fit", "--run", "one", "--preset", "debug-profile", *short])
    table = Path("runs/one/profile.txt").read_text()
    assert table in capsys.readouterr().out
    assert "training_step" in table
    assert max(map(len, table.splitlines())) <= 80


def test_another_seed_gives_other_weights(short):
    for seed in ("1", "2"):
        main(["fit", "--run", f"seed-{seed}", f"--seed_everything={seed}", "--trainer.logger=false", *short])
    one, other = (last(f"seed-{seed}")["state_dict"] for seed in ("1", "2"))
    assert not same(one, other)
