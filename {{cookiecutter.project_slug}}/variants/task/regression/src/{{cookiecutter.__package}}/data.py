"""DataModule: where batches come from. Here: scikit-learn's diabetes data, which is part of the package."""

from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset, random_split

from .engine.errors import RunError, require
from .engine.training.batches import Batches, SizedDataset, refuse_unloadable
from .engine.training.folds import refuse_impossible_fold, split_fold
from .engine.training.inputs import Inputs, numbers, rows_of

Feature = Literal["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
ROWS = 442
TEST_ROWS = 20  # the last ones, as in scikit-learn's own linear regression example


class DataModule(pl.LightningDataModule):
    """442 patients: ten measures, and how far the disease had gone a year later (a number from 25 to 346).

    A batch is a pair: (batch, features) float32, each feature of mean 0 and standard deviation 1, and
    (batch, 1) float32. Source: Efron et al. 2004, "Least angle regression".

    Args:
        features: columns to use.
        val_rows: rows held out of the 422 training rows. With 0, as in the classic example, the test rows are
            watched instead: then monitor train/loss, so that no choice depends on them. Not used with a fold.
        fold: the part of the training rows that is held out, for cross-validation; null for none of them.
        folds: how many such parts there are.
        batch_size: rows per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for tensors in memory.
        seed: decides which rows are held out, and the order of the batches.
    """

    def __init__(
        self,
        features: list[Feature],
        val_rows: int,
        fold: int | None,
        folds: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        refuse_unloadable(batch_size, num_workers, seed)
        require(val_rows=val_rows or None, at_least=2, below=ROWS - TEST_ROWS - 1)  # R2 needs two rows
        refuse_impossible_fold(fold, folds, most=(ROWS - TEST_ROWS) // 2)
        if not features:
            raise RunError("data.features is empty", f"one or more of {', '.join(get_args(Feature))}")
        self.features = features
        self.val_rows = val_rows
        self.fold = fold
        self.folds = folds
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`: where a download would go."""
        rows, _ = read(self.features)
        if len(rows) != ROWS:
            raise RuntimeError(f"scikit-learn's diabetes data has {len(rows)} rows, expected {ROWS}")

    def setup(self, stage: str) -> None:
        rows, targets = read(self.features)
        rows = self.preprocessing()(rows)
        self.test = TensorDataset(rows[-TEST_ROWS:], targets[-TEST_ROWS:])
        training = TensorDataset(rows[:-TEST_ROWS], targets[:-TEST_ROWS])
        split = [len(training) - self.val_rows, self.val_rows]
        self.train, held_out = random_split(training, split, torch.Generator().manual_seed(self.seed))
        self.val = held_out if self.val_rows else self.test
        if self.fold is not None:
            self.train, self.val = split_fold(training, self.fold, self.folds, self.seed)

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def preprocessing(self) -> nn.Module:
        """From rows in the data's units to what the network is trained on: (batch, features) float32 -> the same."""
        rows, _ = read(self.features)
        return Standardize(rows)

    def read_inputs(self, path: Path) -> Inputs:
        """Rows to predict: a CSV or Parquet file with the features as columns, in the units of the data."""
        return Inputs(rows_of(path, self.features), lambda row: numbers(row, self.features))

    def examples(self) -> list[Tensor]:
        """Some rows as `read_inputs` gives them, on which an export is checked: (features,) float32 each."""
        rows, _ = read(self.features)
        return list(rows[-TEST_ROWS:])

    def source_files(self) -> list[Path]:
        """What the data is read from; a run's manifest.json has the hash of each."""
        folder = files("sklearn") / "datasets/data"
        return [Path(str(folder / f"diabetes_{name}.csv.gz")) for name in ("data_raw", "target")]

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)


class Standardize(nn.Module):
    """Gives each feature of `rows` mean 0 and standard deviation 1: (batch, features) float32 -> the same."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        rows = rows.double()  # of the 442 rows, so that the numbers below are rounded once
        self.register_buffer("mean", rows.mean(dim=0).float())
        self.register_buffer("deviation", rows.std(dim=0, correction=0).float())

    def forward(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) / self.deviation


def read(features: list[Feature]) -> tuple[Tensor, Tensor]:
    """All rows, in their own units such as years of age: (442, features) and (442, 1), float32."""
    from sklearn.datasets import load_diabetes  # type: ignore[import-untyped] # a second to import, which --help need not wait for

    data = load_diabetes(scaled=False)
    columns = [get_args(Feature).index(name) for name in features]
    rows = torch.tensor(data.data[:, columns], dtype=torch.float32)
    return rows, torch.tensor(data.target, dtype=torch.float32).unsqueeze(1)
