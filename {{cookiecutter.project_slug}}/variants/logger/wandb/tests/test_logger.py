import time
from pathlib import Path

from {{ cookiecutter.__package }}.cli import main


def logged(run):
    """What W&B's own process has written; it may be a moment behind ours."""
    expected = (b"train/loss", b"val/loss", b"seed_everything")
    deadline = time.monotonic() + 20
    while True:
        (log,) = Path("runs", run, "wandb").glob("offline-run-*/*.wandb")
        found = [name for name in expected if name in log.read_bytes()]
        if len(found) == len(expected) or time.monotonic() > deadline:
            return found == list(expected)
        time.sleep(0.1)


def test_metrics_and_settings_reach_wandb_one_run_per_training(short):
    for run in ("one", "two"):
        main(["fit", "--run", run, *short])
        assert logged(run)


def test_nobody_is_asked_for_a_key(short, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "no-such-file")
    main(["fit", "--run", "one", *short])
    assert list(Path("runs/one/wandb").glob("offline-run-*"))
