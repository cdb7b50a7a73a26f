"""A run survives: stopped anywhere and started again, it ends as if nothing had happened."""

import signal
from pathlib import Path

import pytest
from conftest import last, same

from {{ cookiecutter.__package }}.__main__ import main

EMA = [
    '--trainer.callbacks+={"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}}'
]
CURE = (
    "the run that was stopped ended differently: load the training data with engine.training.batches.Batches, draw"
    " random numbers from torch or NumPy alone, and keep what the model remembers in parameters, buffers or metrics"
)


def metrics(run):
    return Path("runs", run, "metrics.csv").read_text()


def assert_ended_alike(one, other):
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(last(one)[part], last(other)[part]), f"{part}: {CURE}"
    assert metrics(one) == metrics(other), f"metrics.csv: {CURE}"


@pytest.mark.parametrize(
    ("batch", "signum", "extra", "again"),
    [
        (1, signal.SIGINT, [], True),  # in the first epoch
        (3, signal.SIGTERM, [], False),  # between two epochs; goes on with the settings that the run has kept
        (4, signal.SIGINT, EMA, True),
    ],
    ids=["batch", "epoch", "averaged"],
)
def test_stopped_run_ends_with_the_same_weights_and_metrics(short, stop_at, capsys, batch, signum, extra, again):
    main(["fit", "--run", "untouched", *short, *extra])
    stop_at(batch, signum)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--run", "stopped", *short, *extra])
    assert stopped.value.code == 128 + signum
    assert "fit --run stopped" in capsys.readouterr().out
    main(["fit", "--run", "stopped", *((*short, *extra) if again else ())])
    assert_ended_alike("untouched", "stopped")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_goes_on_from_another_run_in_a_new_folder_and_a_finished_one_is_left_alone(short, capsys):
    short.append("--trainer.logger=false")
    main(["fit", "--run", "one", *short])
    before = Path("runs/one/checkpoints/last.ckpt").read_bytes()
    main(["fit", "--run", "two", "--ckpt_path", "last", *short, "--trainer.max_epochs=3"])
    assert last("two")["global_step"] == 1.5 * last("one")["global_step"]
    main(["fit", "--run", "one", *short, "--seed_everything=7"])
    assert "run one is finished" in capsys.readouterr().out
    main(["fit", "--run", "one", "--fresh", *short])
    assert Path("runs/one/checkpoints/last.ckpt").read_bytes() == before
    assert Path("runs/one-2/checkpoints/last.ckpt").is_file()
