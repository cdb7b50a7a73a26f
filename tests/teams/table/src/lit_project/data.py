"""DataModule: where batches come from. Here: a table of patients, patients.csv."""

import csv
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, random_split

from .engine.training.batches import Batches, SizedDataset

FEATURES = ("age", "bmi", "pressure")
CENTRES = torch.tensor([55.0, 26.0, 132.0])
SCALES = torch.tensor([15.0, 4.0, 22.0])
TEST_ROWS = 24  # the last ones


class DataModule(pl.LightningDataModule):
    """Three measures of each patient, and whether they fell ill.

    A batch is a triple: (batch, 3) float32, (batch, 1) float32 of 0 or 1, and the ids, text.

    Args:
        folder: where patients.csv lies.
        val_fraction: share of the training rows that is held out for validation.
        batch_size: rows per optimizer step, in all processes together.
        num_workers: processes that load batches.
        seed: decides which rows are held out, and the order of the batches.
    """

    def __init__(self, folder: str, val_fraction: float, batch_size: int, num_workers: int, seed: int) -> None:
        super().__init__()
        self.file = Path(folder, "patients.csv")
        self.val_fraction = val_fraction
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def setup(self, stage: str) -> None:
        table = Table(self.file)
        known = len(table) - TEST_ROWS
        self.test = Subset(table, range(known, len(table)))
        split = [1 - self.val_fraction, self.val_fraction]
        generator = torch.Generator().manual_seed(self.seed)
        self.train, self.val = random_split(Subset(table, range(known)), split, generator)

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)


class Table(Dataset[tuple[Tensor, Tensor, str]]):
    """The rows of the file, in its order."""

    def __init__(self, file: Path) -> None:
        with file.open(newline="", encoding="utf-8") as rows:
            patients = list(csv.DictReader(rows))
        self.ids = [patient["id"] for patient in patients]
        features = torch.tensor([[float(patient[name]) for name in FEATURES] for patient in patients])
        self.features = (features - CENTRES) / SCALES
        self.targets = torch.tensor([[float(patient["ill"])] for patient in patients])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str]:
        return self.features[index], self.targets[index], self.ids[index]
