"""An autoencoder, as many are written for Lightning: a LightningModule that has all of it, and knows no template."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LitAutoEncoder(pl.LightningModule):
    """Squeezes a picture of 8 x 8 grey levels into a few numbers, and draws it again from these."""

    def __init__(self, hidden: int = 64, code: int = 8, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, code))
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, 64))

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))

    def loss(self, batch: list[Tensor], name: str) -> Tensor:
        x, _ = batch
        loss = F.mse_loss(self.decoder(self(x)), x.flatten(1))
        self.log(name, loss, prog_bar=True)
        return loss

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.loss(batch, "train_loss")

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.loss(batch, "val_loss")

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.loss(batch, "test_loss")

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])
