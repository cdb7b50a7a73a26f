"""Several validation or test sets: each has metrics and a loss of its own, called by its name."""

import copy
import csv
import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from lit_project.__main__ import load_parts, main
from lit_project.engine.errors import RunError
from lit_project.engine.training.batches import Batches
from lit_project.engine.training.mean import Mean
from lit_project.engine.training.sets import set_names
from test_model import QUIET
from torch.utils.data import TensorDataset

DATA = load_parts().data
# The run watches what the sets have, and not val/loss.
WATCHED = ["--best_checkpoint.monitor=val/clean/loss", "--early_stopping.monitor=val/clean/loss"]


def with_noise(loader):
    """The same pictures, but unreadable, in batches of another size."""
    pictures, classes = (torch.cat(part) for part in zip(*loader, strict=True))
    noise = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    return Batches(TensorDataset(noise, classes), 7, shuffle=False, num_workers=0, seed=0)


@pytest.fixture
def two_sets(monkeypatch):
    """The DataModule's validation and test data as two sets each."""
    for stage in ("val", "test"):
        alone = getattr(DATA, f"{stage}_dataloader")

        def both(self, alone=alone):
            return {"clean": alone(self), "noisy": with_noise(alone(self))}

        monkeypatch.setattr(DATA, f"{stage}_dataloader", both)


def measured(model, stage, loaders):
    trainer = pl.Trainer(**QUIET)
    (trainer.validate if stage == "val" else trainer.test)(model, loaders, verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("stage", ["val", "test"])
def test_each_set_is_measured_as_if_it_were_alone(parts, stage):
    model, data = parts
    clean = getattr(data, f"{stage}_dataloader")()
    sets = {"clean": clean, "noisy": with_noise(clean)}
    alone = {name: measured(model, stage, loader) for name, loader in sets.items()}
    assert alone["clean"] != alone["noisy"]
    expected = {key.replace("/", f"/{name}/"): value for name in sets for key, value in alone[name].items()}
    assert measured(model, stage, sets) == expected
    assert measured(model, stage, dict(reversed(sets.items()))) == expected
    # Without names they are numbered, and one loader needs no number.
    assert measured(model, stage, list(sets.values())).keys() == {
        key.replace("/", f"/{number}/") for number in (0, 1) for key in alone["clean"]
    }
    assert measured(model, stage, [sets["noisy"]]) == alone["noisy"]


def test_sets_are_named_by_a_dict_that_is_flat():
    assert set_names({"a": 1}, 1) == ["a"]
    assert set_names("a loader", 1) == set_names(["a loader"], 1) == [""]
    for nested in ({"a": [1, 2], "b": 3}, [[1, 2], 3]):
        with pytest.raises(RunError, match="3 loaders were returned"):
            set_names(nested, 3)


def test_metrics_of_sets_are_not_part_of_a_checkpoint_and_are_copied(parts):
    model, data = parts
    for metric in model.metrics_of("val").values():
        metric.persistent(True)
    before = model.state_dict().keys()
    measured(model, "val", {"v1.5": data.val_dataloader()})
    assert model.state_dict().keys() == before
    copied = copy.deepcopy(model)
    copied.metrics_of("val").update(torch.rand(1, 10), torch.tensor([0]))
    assert not any(metric.update_called for metric in model.metrics_of("val").values())


def test_first_validation_has_nothing_of_the_one_before_the_training(parts):
    model, data = parts
    sets = {"clean": data.val_dataloader(), "noisy": with_noise(data.val_dataloader())}
    trainer = pl.Trainer(max_epochs=1, limit_train_batches=2, num_sanity_val_steps=1, **QUIET)
    trainer.fit(model, data.train_dataloader(), sets)
    logged = {key: value.item() for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
    assert logged == measured(model, "val", sets)


def rows(run):
    with Path(f"runs/{run}/metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_sets_are_logged_and_written_by_name_and_resumed_exactly(two_sets, short, stop_at):
    short = [*short, *WATCHED, "--trainer.val_check_interval=2"]
    main(["fit", "--run=whole", *short])
    names = {f"{name}/{metric}" for name in ("clean", "noisy") for metric in ("loss", "accuracy")}
    assert {column for column in rows("whole")[0] if column.startswith("val/")} == {f"val/{name}" for name in names}
    assert Path("runs/whole/curves.png").stat().st_size
    stop_at(3)
    with pytest.raises(SystemExit):
        main(["fit", "--run=stopped", *short])
    main(["fit", "--run=stopped", *short])
    assert rows("stopped") == rows("whole")
    for command, stage in (("test", "test"), ("validate", "val")):
        main([command, "--run=whole", *short])
        written = json.loads(Path(f"runs/whole/{command}.json").read_text())
        assert written.keys() == {"checkpoint", *(f"{stage}/{name}" for name in names)}


def test_monitor_that_only_the_sets_have_is_refused_before_the_training(two_sets, short, refused):
    plateau = ["--model.lr_scheduler=pytorch_lightning.cli.ReduceLROnPlateau", "--model.lr_scheduler.monitor=val/loss"]
    told = refused("fit", "--run=one", *short, *plateau)
    assert "val/loss is monitored" in told
    assert "there are val/clean/accuracy, val/clean/loss, val/noisy/accuracy, val/noisy/loss" in told
    assert not list(Path("runs").rglob("*.ckpt"))
    hint = told.rpartition("try: ")[2].split()
    settings = {"--early_stopping.monitor", "--best_checkpoint.monitor", "--model.lr_scheduler.init_args.monitor"}
    assert (set(hint[::2]), set(hint[1::2])) == (settings, {"val/clean/loss"})
    main(["fit", "--run=one", *short, *plateau, *hint])


def test_step_that_is_not_told_the_set_is_refused_in_one_line(two_sets, short, refused, monkeypatch):
    monkeypatch.setattr(load_parts().model, "validation_step", lambda self, batch, batch_idx: None)
    assert "Try adding `dataloader_idx=0`" in refused("fit", "--run=one", *short, *WATCHED)


def test_mean_is_weighted_and_not_shortened_to_the_loss_s_precision():
    mean = Mean()
    for loss, samples in ((1.0, 3), (4.0, 1), (1.0, 2**20 + 1)):
        mean.update(torch.tensor(loss, dtype=torch.bfloat16), samples)
    assert mean.compute() == pytest.approx(1 + 3 / (2**20 + 5), abs=1e-7)
    mean.update(torch.tensor(float("nan")), 1)
    assert mean.compute().isnan()


def test_mean_does_not_wait_for_the_device():
    mean = Mean().to("meta")  # where whoever asks for a value, as `if loss.isnan()` does, raises an error
    mean.update(torch.ones((), device="meta"), 8)
    assert mean.compute().device.type == "meta"
