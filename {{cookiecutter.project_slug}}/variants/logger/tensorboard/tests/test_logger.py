from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from {{ cookiecutter.__package }}.cli import main


def test_metrics_reach_tensorboard(short):
    main(["fit", "--run", "one", *short])
    events = EventAccumulator("runs/one/tensorboard").Reload()
    assert {"train/loss", "val/loss"} <= set(events.Tags()["scalars"])
