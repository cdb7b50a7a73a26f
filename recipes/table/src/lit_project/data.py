"""DataModule: where batches come from. Here: a table of patients in a CSV file, with an id and gaps in some rows."""

import sys
import zlib
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from .engine.errors import RunError
from .engine.training.batches import Batches, SizedDataset
from .engine.training.folds import refuse_impossible_fold
from .engine.training.inputs import Inputs, numbers, rows_of

FEATURES = ("age", "sex", "bmi", "blood_pressure", "cholesterol", "ldl", "hdl", "triglycerides", "glucose")
TARGET = "worse"
Row = tuple[str, Tensor]  # id; features and target, (features + 1,) float32


class Table(Dataset[tuple[Tensor, Tensor, str]]):
    """Rows in the units of the file: (features,) float32, a (1,) float32 target of 0 or 1, and the id."""

    def __init__(self, rows: list[Row]) -> None:
        self.ids = [row[0] for row in rows]
        self.features, self.targets = torch.stack([row[1] for row in rows]).split([len(FEATURES), 1], dim=1)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str]:
        return self.features[index], self.targets[index], self.ids[index]


class DataModule(pl.LightningDataModule):
    """Measures of each patient, and whether the disease was much worse a year later.

    A batch is a triple: (batch, 9) float32, (batch, 1) float32 of 0 or 1, and the ids.

    Args:
        folder: where patients.csv lies.
        max_rejected: share of rows that may be unusable; more of them are an error.
        val_fraction, test_fraction: shares of the patients that are held out.
        fold: the part of all but the test's that is held out instead, for cross-validation; null for none of them.
        folds: how many such parts there are.
        batch_size: rows per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for tensors in memory.
        seed: decides which patients are held out, and the order of the batches.
    """

    def __init__(
        self,
        folder: str,
        max_rejected: float,
        val_fraction: float,
        test_fraction: float,
        fold: int | None,
        folds: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.file = Path(folder, "patients.csv")
        self.max_rejected = max_rejected
        refuse_impossible_fold(fold, folds)
        begin, end = 0.0, val_fraction
        if fold is not None:
            begin, end = ((1 - test_fraction) * one / folds for one in (fold, fold + 1))
        self.held_out = {"test": (0.0, test_fraction), "val": (test_fraction + begin, test_fraction + end)}
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`, so this says once which rows are left out."""
        if not self.file.exists():
            raise RunError(f"{self.file} is missing", "--data.folder FOLDER, the folder that has it")
        rows, rejected = read(self.file)
        total = len(rows) + len(rejected)
        told = f"{self.file}: {len(rejected)} of {total} rows are left out: {'; '.join(rejected[:3])}"
        if len(rejected) > self.max_rejected * total:
            raise RunError(told, "mend the file, or raise --data.max_rejected")
        if rejected:
            print(told + ("; …" if len(rejected) > 3 else ""), file=sys.stderr)

    def setup(self, stage: str) -> None:
        parts: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
        for row in read(self.file)[0]:
            parts[self.part_of(row[0])].append(row)
        self.train, self.val, self.test = (Table(rows) for rows in parts.values())

    def part_of(self, patient: str) -> str:
        """Decided by the id alone: a patient stays in the same part when rows are added or removed."""
        place = zlib.crc32(f"{self.seed} {patient}".encode()) / 2**32
        return next((part for part, (begin, end) in self.held_out.items() if begin <= place < end), "train")

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def preprocessing(self) -> nn.Module:
        """From rows to what the network is trained on: the same, since the network has learnt the scale."""
        return nn.Identity()

    def read_inputs(self, path: Path) -> Inputs:
        """Rows to predict: a CSV or Parquet file with the features as columns, in the units of the training's file."""
        return Inputs(rows_of(path, FEATURES), lambda row: numbers(row, FEATURES))

    def examples(self) -> list[Tensor]:
        """Some rows as `read_inputs` gives them, on which an export is checked: (features,) float32 each."""
        return [row[:-1] for _, row in read(self.file)[0][:10]]

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)


def read(file: Path) -> tuple[list[Row], list[str]]:
    """The usable rows of a file, and for each other row why it is not."""
    rows, rejected = [], []
    for item in rows_of(file, ["id", *FEATURES, TARGET]):
        try:
            row = item.checked()
            if not row["id"]:
                raise ValueError("id is empty")
            rows.append((item.id, numbers(row, [*FEATURES, TARGET])))
        except ValueError as error:
            rejected.append(f"{item.place}, {error}")
    return rows, rejected
