"""Modes: a metric that says how well generated points cover the centres of the data."""

import torch
from torch import Tensor
from torchmetrics import Metric

from .data import CENTRES, SPREAD


class Modes(Metric):
    """Computes the figures of Metz et al. 2017 from all points of an epoch, over all processes.

    modes: the share of the centres that have at least half their share of the points within three standard deviations.
    quality: the share of the points that are so close to a centre; 0.99 for points of the data.
    """

    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(len(CENTRES) + 1), dist_reduce_fx="sum")  # the last is for far points

    def update(self, points: Tensor) -> None:
        distances, nearest = torch.cdist(points.float(), CENTRES.to(points.device)).min(dim=1)
        nearest[distances > 3 * SPREAD] = len(CENTRES)
        self.counts += torch.bincount(nearest, minlength=len(self.counts))

    def compute(self) -> dict[str, Tensor]:
        shares = self.counts[:-1] / self.counts.sum()
        return {"modes": (shares >= 0.5 / len(CENTRES)).float().mean(), "quality": shares.sum()}
