"""Metrics and settings reach the logger. Yours: change it with `logger` in configs/default.yaml."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from {{ cookiecutter.__package }}.__main__ import main


def test_metrics_reach_tensorboard(short):
    main(["fit", "--run", "one", *short])
    events = EventAccumulator("runs/one/tensorboard").Reload()
    assert {"train/loss", "val/loss"} <= set(events.Tags()["scalars"])
