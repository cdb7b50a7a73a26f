"""DataModule: where batches come from. Here: points around eight centres, and noise to make such points of."""

import math

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from .engine.training.batches import Batches, SizedDataset

NOISE = 8
ANGLES = torch.arange(8) * math.pi / 4
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
SPREAD = 0.05  # standard deviation around a centre


class DataModule(pl.LightningDataModule):
    """A mixture of eight Gaussians on a circle, the benchmark of Metz et al. 2017, https://arxiv.org/abs/1611.02163.

    A batch is (batch, 2) points for training; otherwise (batch, 8) noise, of which the model makes points. float32.

    Args:
        samples: how many points to draw for training; half as many for validation, test and predict.
        batch_size: samples per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for tensors in memory.
        seed: decides the numbers, and the order of the batches.
    """

    def __init__(self, samples: int, batch_size: int, num_workers: int, seed: int) -> None:
        super().__init__()
        self.samples = samples
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def setup(self, stage: str) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        centres = CENTRES[torch.randint(len(CENTRES), (self.samples,), generator=generator)]
        self.train = centres + SPREAD * torch.randn(centres.shape, generator=generator)
        self.val, self.test = torch.randn(2, self.samples // 2, NOISE, generator=generator)

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def preprocessing(self) -> nn.Module:
        """From inputs as users have them to what the generator is trained on: the same (batch, 8) float32."""
        return nn.Identity()

    def examples(self) -> list[Tensor]:
        """Some noise, on which an export is checked: (8,) float32 each."""
        return list(torch.randn(7, NOISE, generator=torch.Generator().manual_seed(self.seed)))

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)
