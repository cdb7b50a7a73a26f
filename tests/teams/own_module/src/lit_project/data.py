"""DataModule: torch's own DataLoader, and batches that are dicts."""

import math

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class DataModule(pl.LightningDataModule):
    """A noisy wave.

    Args:
        points: how many there are to learn from.
        batch_size: points per step and process.
    """

    def __init__(self, points: int = 64, batch_size: int = 16) -> None:
        super().__init__()
        self.points = points
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(Wave(self.points, seed=0), batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(Wave(16, seed=1), batch_size=self.batch_size)

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(Wave(16, seed=2), batch_size=self.batch_size)

    def predict_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(Wave(16, seed=2), batch_size=self.batch_size)


class Wave(Dataset[dict[str, Tensor]]):
    def __init__(self, points: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.rand(points, 1, generator=generator) * 2 - 1
        self.y = (math.pi * self.x).sin() + 0.1 * torch.randn(points, 1, generator=generator)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.x[index], "y": self.y[index]}
