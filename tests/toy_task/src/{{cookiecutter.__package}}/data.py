"""DataModule: where batches come from. Here: made-up numbers and their sums."""

import pytorch_lightning as pl
import torch
from torch.utils.data import TensorDataset

from .batches import Batches, Samples


class DataModule(pl.LightningDataModule):
    """A batch is a pair: (batch, 4) float32 and their sums, (batch, 1) float32.

    Args:
        rows: how many there are for training; a quarter as many for validation, and for the test.
        batch_size: rows per optimizer step, in all processes together.
        num_workers: processes that load batches.
        seed: decides the numbers, and the order of the batches.
    """

    def __init__(self, rows: int, batch_size: int, num_workers: int, seed: int) -> None:
        super().__init__()
        self.rows = rows
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def setup(self, stage: str) -> None:
        numbers = torch.randn(self.rows * 3 // 2, 4, generator=torch.Generator().manual_seed(self.seed))
        parts = torch.split(numbers, [self.rows, self.rows // 4, self.rows // 4])
        self.train, self.val, self.test = (TensorDataset(part, part.sum(dim=1, keepdim=True)) for part in parts)

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def _loader(self, dataset: Samples, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)
