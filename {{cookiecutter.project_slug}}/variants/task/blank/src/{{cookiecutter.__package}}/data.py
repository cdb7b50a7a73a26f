"""DataModule: where batches come from. Here: made-up numbers, until `setup` reads yours."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from .engine.errors import require
from .engine.training.batches import Batches, SizedDataset, refuse_unloadable
from .engine.training.folds import refuse_impossible_fold, split_fold
from .engine.training.inputs import Inputs, numbers, rows_of

FEATURES = 4
COLUMNS = [f"x{number}" for number in range(FEATURES)]  # of a file with rows to predict


class DataModule(pl.LightningDataModule):
    """Sums of four numbers, with a little noise.

    A batch is a pair: (batch, 4) float32 and (batch, 1) float32.

    Args:
        samples: how many to make up for training; a quarter as many for validation, and for the test.
        fold: the part of all but the test's that is held out instead, for cross-validation; null for none of them.
        folds: how many such parts there are.
        batch_size: samples per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for tensors in memory.
        seed: decides the numbers, and the order of the batches.
    """

    def __init__(
        self,
        samples: int,
        fold: int | None,
        folds: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        refuse_unloadable(batch_size, num_workers, seed)
        require(samples=samples, at_least=4)
        refuse_impossible_fold(fold, folds)
        self.samples = samples
        self.fold = fold
        self.folds = folds
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def setup(self, stage: str) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        sizes = [self.samples, self.samples // 4, self.samples // 4]
        inputs = torch.randn(sum(sizes), FEATURES, generator=generator)
        targets = inputs.sum(dim=1, keepdim=True) + 0.1 * torch.randn(sum(sizes), 1, generator=generator)
        parts = zip(inputs.split(sizes), targets.split(sizes), strict=True)
        train, val, self.test = (TensorDataset(*part) for part in parts)
        self.train: SizedDataset = train
        self.val: SizedDataset = val
        if self.fold is not None:
            self.train, self.val = split_fold(train + val, self.fold, self.folds, self.seed)

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def preprocessing(self) -> nn.Module:
        """From inputs as users have them to what the network is trained on. Here: the same (batch, 4) float32."""
        return nn.Identity()

    def read_inputs(self, path: Path) -> Inputs:
        """Inputs to predict: a CSV or Parquet file with the columns x0 to x3."""
        return Inputs(rows_of(path, COLUMNS), lambda row: numbers(row, COLUMNS))

    def examples(self) -> list[Tensor]:
        """Some inputs as `read_inputs` gives them, on which an export is checked: (4,) float32 each."""
        return list(torch.randn(7, FEATURES, generator=torch.Generator().manual_seed(self.seed)))

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)
