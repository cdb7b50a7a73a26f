"""Metrics and settings reach the logger. Yours: change it with `logger` in configs/default.yaml."""

from pathlib import Path

from mlflow.tracking import MlflowClient

from {{ cookiecutter.__package }}.__main__ import main


def test_metrics_and_settings_reach_mlflow(short):
    main(["fit", "--run", "one", *short])
    client = MlflowClient(f"sqlite:///{Path('runs/one/mlflow.db').resolve().as_posix()}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    assert run.info.run_name == "one"
    assert {"train/loss", "val/loss"} <= run.data.metrics.keys()
    assert run.data.params["seed_everything"] == "0"
