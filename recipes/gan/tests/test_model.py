"""What a model must keep to. Yours: change it with model.py and network.py.

Two networks that learn against each other bring no loss to zero, and a training step with two optimizers needs a
Trainer. So these tests look at the weights after a step, where those of other projects look at gradients and losses.
"""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

# Outside of a training, self.log does nothing and says so.
pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def first_samples(batch, count):
    """The same batch with fewer samples: tensors and lists of text cut short, wherever they are in it."""
    if isinstance(batch, dict):
        return {key: first_samples(part, count) for key, part in batch.items()}
    if isinstance(batch, list | tuple) and not all(isinstance(part, str) for part in batch):
        return [first_samples(part, count) for part in batch]
    return batch[:count]


def test_one_step_changes_every_parameter(parts):
    model, data = parts
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    batch = next(iter(data.train_dataloader()))
    pl.Trainer(max_epochs=1, **QUIET).fit(model, DataLoader([batch], batch_size=None))
    unchanged = [name for name, weight in model.named_parameters() if torch.equal(weight, before[name])]
    assert not unchanged


def test_both_schedules_are_stepped_in_each_batch(parts):
    model, data = parts
    batch = next(iter(data.train_dataloader()))
    trainer = pl.Trainer(max_epochs=1, **QUIET)
    trainer.fit(model, DataLoader([batch, batch], batch_size=None))
    assert [schedule.last_epoch for schedule in model.lr_schedulers()] == [2, 2]
    assert trainer.global_step == 4  # Lightning counts the steps of all optimizers


def test_prediction_has_an_entry_for_each_sample(parts):
    model, data = parts
    batch = first_samples(next(iter(data.predict_dataloader())), 3)
    model.eval()
    with torch.no_grad():
        prediction = model.predict_step(batch, 0)
    columns = prediction.values() if isinstance(prediction, dict) else [prediction]
    lengths = {len(column) for column in columns}
    assert lengths == {3}, f"predict_step answered {lengths} times for 3 samples: keep the samples apart"
