"""DataModule: where batches come from. Here: scikit-learn's handwritten digits, which are part of the package."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset, random_split

from .engine.errors import require
from .engine.training.batches import Batches, SizedDataset, refuse_unloadable
from .engine.training.folds import refuse_impossible_fold, split_fold
from .engine.training.inputs import Inputs, files_of

SIDE = 8  # of a picture, in pixels
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class DataModule(pl.LightningDataModule):
    """1797 pictures of the digits 0 to 9, each 8 x 8 grey levels.

    A batch is a pair: (batch, 1, 8, 8) float32 in [0, 1] and (batch,) int64. The second half, in the order of
    the file, is the test set, as in scikit-learn's own digits example. Source: Alpaydin and Kaynak 1998.

    Args:
        val_fraction: share of the first half that is held out for validation. Not used with a fold.
        fold: the part of the first half that is held out, for cross-validation; null for none of them.
        folds: how many such parts there are.
        max_shift: training pictures are moved at random by up to so many pixels each way.
        batch_size: pictures per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for tensors in memory.
        seed: decides which pictures are held out, and the order of the batches.
    """

    def __init__(
        self,
        val_fraction: float,
        fold: int | None,
        folds: int,
        max_shift: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        refuse_unloadable(batch_size, num_workers, seed)
        require(val_fraction=val_fraction, above=0, below=1)
        refuse_impossible_fold(fold, folds)
        require(max_shift=max_shift, at_least=0, below=SIDE)
        self.val_fraction = val_fraction
        self.fold = fold
        self.folds = folds
        self.max_shift = max_shift
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`: where a download would go."""
        pictures, _ = read()
        if len(pictures) != 1797:
            raise RuntimeError(f"scikit-learn's digits have {len(pictures)} pictures, expected 1797")

    def setup(self, stage: str) -> None:
        pictures, classes = read()
        half = len(pictures) // 2
        self.test = TensorDataset(pictures[half:], classes[half:])
        training = TensorDataset(pictures[:half], classes[:half])
        split = [1 - self.val_fraction, self.val_fraction]
        self.train, self.val = random_split(training, split, torch.Generator().manual_seed(self.seed))
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

    def on_after_batch_transfer(self, batch: list[Tensor], dataloader_idx: int) -> list[Tensor]:
        """On the device, where a whole batch is moved at once."""
        pictures, classes = batch
        if self.trainer and self.trainer.training:
            pictures = shift(pictures, self.max_shift)
        return [pictures, classes]

    def preprocessing(self) -> nn.Module:
        """From pictures to what the network is trained on: (batch, 1, 8, 8) uint8 -> float32 in [0, 1]."""
        return Scale()

    def read_inputs(self, path: Path) -> Inputs:
        """Pictures to predict: a file, or a folder of them, with bright strokes on a dark ground as in the data."""
        return Inputs(files_of(path, ENDINGS), open_picture)

    def examples(self) -> list[Tensor]:
        """Some pictures as `read_inputs` gives them, on which an export is checked: (1, 8, 8) uint8 each."""
        pictures, _ = read()
        return [(picture * 255).byte() for picture in pictures[-10:]]

    def source_files(self) -> list[Path]:
        """What the data is read from; a run's manifest.json has the hash of each."""
        return [Path(str(files("sklearn") / "datasets/data/digits.csv.gz"))]

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)


def read() -> tuple[Tensor, Tensor]:
    """All pictures and their classes: (1797, 1, 8, 8) float32 in [0, 1], and (1797,) int64."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped] # a second to import, which --help need not wait for

    digits = load_digits()
    pictures = torch.tensor(digits.images / 16, dtype=torch.float32)
    return pictures.unsqueeze(1), torch.tensor(digits.target, dtype=torch.int64)


def open_picture(path: Path) -> Tensor:
    """A picture file of any size and colour: (1, 8, 8) uint8 grey levels; ValueError if it is none."""
    try:
        with Image.open(path) as picture:
            # Each pixel is the mean of a block, as in the making of the data from bitmaps of 32 x 32.
            small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise ValueError(f"no picture that can be read: {error}") from error
    return torch.from_numpy(np.array(small)).unsqueeze(0)


class Scale(nn.Module):
    """Grey levels from 0 to 255 -> float32 from 0 to 1, of the same shape."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.float() / 255


def shift(pictures: Tensor, most: int) -> Tensor:
    """Move each picture by its own -most to +most pixels in both directions: (batch, channels, h, w) -> the same."""
    batch, _, height, width = pictures.shape
    padded = F.pad(pictures, (most, most, most, most))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    top, left = torch.randint(2 * most + 1, (2, batch), device=pictures.device)
    return windows[torch.arange(batch, device=pictures.device), :, top, left]
