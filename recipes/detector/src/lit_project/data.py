"""DataModule: where batches come from. Here: pictures with a list of objects each, and validation sets of two kinds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from .engine.training.batches import Batches
from .engine.training.inputs import Inputs, files_of

SIDE = 32
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
KINDS = ("filled", "hollow")  # squares; an object's label is its place here
Objects = dict[str, Tensor]  # boxes: (n, 4) float32, left, top, right, bottom in pixels; labels: (n,) int64


@dataclass
class Scenes(Dataset[tuple[Tensor, Objects]]):
    """One to three squares in noise, made from the picture's number: (1, 32, 32) float32, and its objects."""

    count: int
    noise: float
    seed: int
    flips: bool = False

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Objects]:
        generator = np.random.default_rng([self.seed, index])
        picture = self.noise * torch.from_numpy(generator.standard_normal((1, SIDE, SIDE), dtype=np.float32))
        made = []  # left, top, right, bottom, label
        for quarter in generator.permutation(4)[: generator.integers(1, 4)]:  # so that no square covers another
            size, label = generator.integers(5, 10), generator.integers(len(KINDS))
            left, top = generator.integers(2, 15 - size, 2) + SIDE // 2 * np.array(divmod(quarter, 2))
            picture[0, top : top + size, left : left + size] += 1
            picture[0, top + 1 : top + size - 1, left + 1 : left + size - 1] -= int(label)
            made.append([left, top, left + size, top + size, label])
        boxes, labels = torch.tensor(np.array(made), dtype=torch.float32).split([4, 1], dim=1)
        if self.flips and torch.rand(()) < 0.5:  # left becomes right, in the picture and in the boxes
            picture, boxes = picture.flip(-1), (torch.tensor([SIDE, 0, SIDE, 0]) - boxes[:, [2, 1, 0, 3]]).abs()
        return picture, {"boxes": boxes, "labels": labels.squeeze(1).long()}


class DataModule(pl.LightningDataModule):
    """Pictures to find objects in, with little noise and with more.

    A batch is a pair: (batch, 1, 32, 32) float32, and a list with a dict of boxes and labels for each picture.

    Args:
        pictures: how many there are for training; a quarter as many in each other set.
        train_noise: its standard deviation in training; squares are 1 above the background.
        noise: the same for each validation and test set, by its name.
        batch_size: pictures per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for tensors in memory.
        seed: decides the pictures, and the order of the batches.
    """

    def __init__(
        self, pictures: int, train_noise: float, noise: dict[str, float], batch_size: int, num_workers: int, seed: int
    ) -> None:
        super().__init__()
        self.pictures = pictures
        self.train_noise = train_noise
        self.noise = noise
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def train_dataloader(self) -> Batches:
        return self._loader(Scenes(self.pictures, self.train_noise, self.seed, flips=True), shuffle=True)

    def val_dataloader(self) -> dict[str, Batches]:
        return self._held_out(self.seed + 1)

    def test_dataloader(self) -> dict[str, Batches]:
        return self._held_out(self.seed + 2)

    def predict_dataloader(self) -> Batches:
        return self.test_dataloader()["clean"]

    def preprocessing(self) -> nn.Module:
        """From pictures to what the network is trained on: (batch, 1, 32, 32) uint8 -> float32 in [0, 1]."""
        return Scale()

    def read_inputs(self, path: Path) -> Inputs:
        """Pictures to predict: a file, or a folder of them, with bright squares on a dark ground."""
        return Inputs(files_of(path, ENDINGS), open_picture)

    def examples(self) -> list[Tensor]:
        """Some pictures as `read_inputs` gives them, on which an export is checked: (1, 32, 32) uint8 each."""
        return [(Scenes(10, self.train_noise, self.seed)[n][0].clamp(0, 1) * 255).byte() for n in range(10)]

    def _held_out(self, seed: int) -> dict[str, Batches]:
        return {name: self._loader(Scenes(self.pictures // 4, noise, seed)) for name, noise in self.noise.items()}

    def _loader(self, scenes: Scenes, shuffle: bool = False) -> Batches:
        return Batches(scenes, self.batch_size, shuffle, self.num_workers, self.seed, collate_fn=collate)


def collate(samples: list[tuple[Tensor, Objects]]) -> tuple[Tensor, list[Objects]]:
    """A batch. Pictures have different numbers of objects, so torch's own function cannot stack these."""
    return torch.stack([picture for picture, _ in samples]), [objects for _, objects in samples]


def open_picture(path: Path) -> Tensor:
    """A picture file of any size and colour: (1, 32, 32) uint8 grey levels; ValueError if it is none."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise ValueError(f"no picture that can be read: {error}") from error
    return torch.from_numpy(np.array(small)).unsqueeze(0)


class Scale(nn.Module):
    """Grey levels from 0 to 255 -> float32 from 0 to 1, of the same shape."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.float() / 255
