"""DataModule: points on a circle to learn from, and noise to make points of. There is nothing to validate with."""

import math

import pytorch_lightning as pl
import torch
from torch.utils.data import TensorDataset

from .engine.training.batches import Batches


class DataModule(pl.LightningDataModule):
    """A batch is a tuple of one: (batch, 2) points, or (batch, noise) for predict, float32.

    Args:
        noise: as that of the model.
        batch_size: points per step, in all processes together.
        seed: decides the points and their order.
    """

    def __init__(self, noise: int, batch_size: int, seed: int) -> None:
        super().__init__()
        self.noise = noise
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> Batches:
        angles = 2 * math.pi * torch.rand(40, generator=torch.Generator().manual_seed(self.seed))
        points = torch.stack([angles.cos(), angles.sin()], dim=1)
        return Batches(TensorDataset(points), self.batch_size, True, 0, self.seed)

    def predict_dataloader(self) -> Batches:
        noise = torch.randn(12, self.noise, generator=torch.Generator().manual_seed(self.seed))
        return Batches(TensorDataset(noise), self.batch_size, False, 0, self.seed)
