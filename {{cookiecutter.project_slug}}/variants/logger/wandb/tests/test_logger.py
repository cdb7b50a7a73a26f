"""Metrics and settings reach the logger. Yours: change it with `logger` in configs/default.yaml."""

import time
from pathlib import Path

from {{ cookiecutter.__package }}.__main__ import main


def missing(run):
    """What W&B's own process, which may be a moment behind ours, has not written after all."""
    deadline = time.monotonic() + 20
    while True:
        (log,) = Path("runs", run, "wandb").glob("offline-run-*/*.wandb")
        names = {b"train/loss", b"val/loss", b"seed_everything"}
        absent = {name for name in names if name not in log.read_bytes()}
        if not absent or time.monotonic() > deadline:
            return absent
        time.sleep(0.1)


def test_metrics_and_settings_reach_wandb_one_run_per_training(short):
    for run in ("one", "two"):
        main(["fit", "--run", run, *short])
        assert not missing(run)


def test_nobody_is_asked_for_a_key(short, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "no-such-file")
    main(["fit", "--run", "one", *short])
    assert list(Path("runs/one/wandb").glob("offline-run-*"))
