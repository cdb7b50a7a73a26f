"""Settings that change on a run that goes on: taken with a line, or refused before anything is lost."""

import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
from conftest import last
from lit_project.__main__ import main
from lit_project.engine.saving.rows import read


@pytest.fixture
def half_done(short, stop_at):
    stop_at(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "one", *short])
    stop_at(10_000)
    return Path("runs/one/config.yaml").read_text()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--model.optimizer=torch.optim.SGD"], "model.optimizer.class_path torch.optim.AdamW, and cannot go on with"),
        (["--model.optimizer.init_args.lr=0.1"], "began with model.optimizer.init_args.lr 0.003"),
        (["--model.network.width=4"], "began with model.network.width 16, and cannot go on with 4"),
        (["--data.seed=1"], "began with data.seed 0, and cannot go on with 1"),
        (["--seed_everything=7"], "began with seed_everything 0, and cannot go on with 7"),
    ],
)
def test_setting_that_a_run_cannot_take_is_refused_and_the_run_goes_on(half_done, refused, flags, told):
    printed = refused("fit", "--run", "one", *flags)
    assert told in printed
    assert "--run NEW --init_from one" in printed
    assert Path("runs/one/config.yaml").read_text() == half_done
    main(["fit", "--run", "one"])
    assert last("one")["resume"]["finished"]


def test_setting_that_a_run_can_take_is_taken_and_told(half_done, capfd):
    main(["fit", "--run", "one", "--trainer.gradient_clip_val=0.5", "--data.num_workers=1"])
    printed = capfd.readouterr().err
    assert "Goes on with another trainer.gradient_clip_val: 0.5, not None" in printed
    assert "num_workers" not in printed
    assert "gradient_clip_val: 0.5" in Path("runs/one/config.yaml").read_text()


def test_config_of_a_run_stays_until_its_first_batch(half_done, monkeypatch):
    def fail(self, *_):
        raise RuntimeError("in the team's own code")

    monkeypatch.setattr("lit_project.model.Model.on_train_start", fail, raising=False)
    with pytest.raises(RuntimeError, match="own code"):
        main(["fit", "--run", "one", "--trainer.gradient_clip_val=0.5"])
    assert Path("runs/one/config.yaml").read_text() == half_done


def test_finished_run_goes_on_when_it_is_given_more(short, capfd):
    main(["fit", "--run", "once", *short, "--trainer.max_epochs=4"])
    main(["fit", "--run", "later", *short])
    main(["fit", "--run", "later", *short])
    assert "run later is finished" in capfd.readouterr().out
    main(["fit", "--run", "later", *short, "--trainer.max_epochs=4"])
    assert "A schedule over the whole training is stretched" in capfd.readouterr().err
    assert last("later")["global_step"] == last("once")["global_step"] == 12
    ends = [next(iter(last(run)["lr_schedulers"]))["_last_lr"] for run in ("later", "once")]
    assert ends[0] == ends[1]
    rates = [row["lr-AdamW"] for row in read(Path("runs/later/metrics.csv"))[1] if row["lr-AdamW"]]
    assert all(map(float, rates[6:-1]))  # of the epochs that were added


class Slow(pl.Callback):
    def on_train_batch_start(self, *_):
        time.sleep(0.4)


def test_training_that_ran_out_of_time_goes_on_when_it_is_given_more(short, capfd):
    main(["fit", "--run", "one", *short, "--trainer.max_time=00:00:00:01"], callbacks=[Slow()])
    steps = last("one")["global_step"]
    assert 0 < steps < 6
    main(["fit", "--run", "one"])
    assert "run one is finished" in capfd.readouterr().out
    main(["fit", "--run", "one", "--trainer.max_time=00:01:00:00"])
    assert last("one")["global_step"] == 6


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has checkpoints, but its config.yaml is missing or empty"),
        (None, "has checkpoints, but its config.yaml is missing or empty"),
        ("model: [", "config.yaml is damaged"),
        ("just words", "config.yaml is damaged"),
    ],
)
def test_damaged_config_is_told(half_done, short, refused, text, told):
    config = Path("runs/one/config.yaml")
    config.unlink() if text is None else config.write_text(text)
    assert told in refused("fit", "--run", "one")
    main(["fit", "--run", "one", "--fresh", *short])
    assert last("one-2")["resume"]["finished"]
