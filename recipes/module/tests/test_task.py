"""What the recipe promises: the module from elsewhere is the model, and is used as it is."""

import pytorch_lightning as pl
import torch

from lit_project.data import DataModule
from lit_project.lit_autoencoder import LitAutoEncoder
from lit_project.model import Model


def test_module_from_elsewhere_is_the_model():
    assert Model.__bases__ == (LitAutoEncoder,)
    assert LitAutoEncoder.__bases__ == (pl.LightningModule,)


def test_its_arguments_come_from_the_configuration(parts):
    model, _ = parts
    assert dict(model.hparams) == {"hidden": 64, "code": 8, "lr": 0.003}


def test_its_checkpoint_is_loaded_without_the_project(parts, tmp_path):
    model, _ = parts
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    loaded = LitAutoEncoder.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    assert torch.equal(loaded(torch.ones(1, 1, 8, 8)), model(torch.ones(1, 1, 8, 8)))


def test_pictures_are_what_it_expects():
    data = DataModule(val_fraction=0.1, fold=None, folds=5, max_shift=0, batch_size=8, num_workers=0, seed=0)
    data.setup("fit")
    pictures, _ = next(iter(data.train_dataloader()))
    assert pictures.shape == (8, 1, 8, 8)
