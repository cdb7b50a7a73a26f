from pathlib import Path

from {{ cookiecutter.__package }}.cli import main


def test_metrics_and_settings_reach_wandb_one_run_per_training(short):
    for run in ("one", "two"):
        main(["fit", "--run", run, *short])
        (log,) = Path("runs", run, "wandb").glob("offline-run-*/*.wandb")
        for name in (b"train/loss", b"val/loss", b"seed_everything"):
            assert name in log.read_bytes()


def test_nobody_is_asked_for_a_key(short, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "no-such-file")
    main(["fit", "--run", "one", *short])
    assert list(Path("runs/one/wandb").glob("offline-run-*"))
