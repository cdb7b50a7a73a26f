"""Cross-validation: which part of the training data one of several trainings does not see."""

import math
from typing import Any

import torch
from torch.utils.data import Dataset, Subset

from ..errors import require


def refuse_impossible_fold(fold: int | None, folds: int, most: float = math.inf) -> None:
    """Raise BadSetting for a fold that there is not, or for fewer than two folds or more than `most`."""
    require(folds=folds, at_least=2, at_most=most)
    require(fold=fold, at_least=0, below=folds)


def fold_bounds(count: int, fold: int, folds: int) -> tuple[int, int]:
    """Where a fold of so many things begins and ends: folds differ by one thing at most.

    Raises:
        BadSetting: if there are fewer things than folds.
    """
    require(folds=folds, at_most=count)
    return count * fold // folds, count * (fold + 1) // folds


def split_fold(dataset: Dataset[Any], fold: int, folds: int, seed: int) -> tuple[Subset[Any], Subset[Any]]:
    """Split a dataset into what is trained on and the fold that is held out, each sample in one fold of all.

    Args:
        dataset: all data but that of the test; one with a length.
        fold: which of the folds is held out, from 0.
        folds: how many there are.
        seed: decides the order in which the dataset is cut into folds.
    """
    count = len(dataset)  # type: ignore[arg-type] # each one that can be shuffled has a length
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    begin, end = fold_bounds(count, fold, folds)
    return Subset(dataset, order[:begin] + order[end:]), Subset(dataset, order[begin:end])
