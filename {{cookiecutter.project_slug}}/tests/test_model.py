"""What a model must keep to, whichever it is. Yours: change it with model.py, network.py and objective.py."""

import dataclasses

import pytest
import pytorch_lightning as pl
import torch
from conftest import Losses
from torch.utils.data import DataLoader

from {{ cookiecutter.__package }}.engine.training.samples import count_samples

# Outside of a training, self.log does nothing and says so.
pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def loss_of(model, batch):
    step = model.training_step(batch, 0)
    return step["loss"] if isinstance(step, dict) else step


def first_samples(batch, count):
    """The same batch with fewer samples: what has an entry for each sample is cut short, wherever it is in it."""
    samples = count_samples(batch)

    def cut(part):
        if isinstance(part, dict):
            return {key: cut(value) for key, value in part.items()}
        if dataclasses.is_dataclass(part):
            return dataclasses.replace(part, **{name: cut(value) for name, value in vars(part).items()})
        if hasattr(part, "_fields"):  # a named tuple
            return part._make(map(cut, part))
        if isinstance(part, list | tuple) and (part is batch or len(part) != samples):
            return [cut(value) for value in part]
        return part[:count]

    return cut(batch)


def test_gradients_reach_every_parameter(parts):
    model, data = parts
    loss_of(model, next(iter(data.train_dataloader()))).backward()
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    without = [name for name, weight in trained if weight.grad is None or not weight.grad.any()]
    assert not without, f"the loss does not depend on {without}: use them in forward, or freeze them (requires_grad)"


def test_overfits_one_small_batch(parts):
    model, data = parts
    batch = first_samples(next(iter(data.train_dataloader())), 2)
    losses = Losses()
    pl.Trainer(max_epochs=150, callbacks=[losses], **QUIET).fit(model, DataLoader([batch], batch_size=None))
    first, final = losses.values[0], losses.values[-1]
    assert final < 0.1 * first, f"150 steps on two samples brought the loss from {first:.3g} to {final:.3g} only"


def test_prediction_has_an_entry_for_each_sample(parts):
    model, data = parts
    batch = first_samples(next(iter(data.predict_dataloader())), 3)
    model.eval()
    with torch.no_grad():
        prediction = model.predict_step(batch, 0)
    columns = prediction.values() if isinstance(prediction, dict) else [prediction]
    lengths = {len(column) for column in columns}
    assert lengths == {3}, f"predict_step answered {lengths} times for 3 samples: keep the samples apart"
