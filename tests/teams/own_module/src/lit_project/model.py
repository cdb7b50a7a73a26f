"""Model: a LightningModule as it was written elsewhere, that knows nothing of this project."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = dict[str, Tensor]


class Model(pl.LightningModule):
    """Learns a noisy wave: "x" of (batch, 1) -> "y" of (batch, 1).

    Args:
        width: of the hidden layer.
        lr: learning rate of Adam.
    """

    def __init__(self, width: int = 16, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.layers = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        loss = F.mse_loss(self(batch["x"]), batch["y"])
        self.log("loss", loss, prog_bar=True)
        return {"loss": loss}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("valid_mse", F.mse_loss(self(batch["x"]), batch["y"]), sync_dist=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test_mse", F.mse_loss(self(batch["x"]), batch["y"]), sync_dist=True)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return {"x": batch["x"], "y": self(batch["x"])}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)
