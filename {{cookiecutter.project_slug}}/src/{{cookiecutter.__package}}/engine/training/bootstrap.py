"""How far a metric may be from what it would be on endless samples: 95% intervals, by the bootstrap.

torchmetrics' BootStrapper keeps as many copies of a metric as there are resamples, and updates all of them with each
batch, resampled by itself: hundreds of times the work of the metric. Here the samples are kept as groups, each with the
states that metrics have after it, and what is resampled at the end are the groups. States are sums, or lists that are
joined, so those of a resample need no update.
"""

import math
import warnings
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from .loop_state import restore_metric_states

RESAMPLES = 1000
GROUPS = 512  # at most: an interval of more would be as wide, and cost more
FEWEST_GROUPS = 10
# Lists of a metric such as the area under a curve are sorted for each resample, which takes long if they are longer.
LONGEST_LIST = 20_000

MetricState = dict[str, Tensor | list[Tensor]]
States = dict[str, MetricState]  # by metric
Interval = tuple[float, float]
Counts = np.ndarray[Any, np.dtype[np.int64]]  # how many times each group is in a resample


class Groups:
    """The states of metrics by groups of successive samples, each of one sample as long as there are few."""

    def __init__(self) -> None:
        self.states: list[States] = []
        self.counts: list[int] = []
        self.size = 1  # of a group that is full, in samples

    def add(self, states: States, samples: int) -> None:
        if self.counts and self.counts[-1] < self.size:
            self.states[-1], self.counts[-1] = joined(self.states[-1], states), self.counts[-1] + samples
        else:
            self.states.append(states)
            self.counts.append(samples)
        if len(self.counts) > GROUPS:
            self._join_neighbours()

    def _join_neighbours(self) -> None:
        pairs = range(0, len(self.counts), 2)
        self.states = [join_all(self.states[first : first + 2]) for first in pairs]
        self.counts = [sum(self.counts[first : first + 2]) for first in pairs]
        self.size *= 2


def joined(one: States, other: States) -> States:
    """The states after the samples of both, if they are sums and lists; `intervals` notices if they are not."""
    return {
        name: {key: value + cast(Any, other[name][key]) for key, value in state.items()} for name, state in one.items()
    }


def join_all(states: list[States]) -> States:
    whole = states[0]
    for more in states[1:]:
        whole = joined(whole, more)
    return whole


def states_of(metrics: dict[str, Metric]) -> States:
    """What each metric has seen since its last reset."""
    # A reset empties lists in their place.
    return {
        name: {key: list(value) if isinstance(value, list) else value for key, value in metric.metric_state.items()}
        for name, metric in metrics.items()
    }


def value_of(metric: Metric, state: MetricState) -> float:
    """What a metric is in a state; NaN for more than one number."""
    metric.reset()
    restore_metric_states(metric, {"": (1, state)})
    value = metric.compute()
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else math.nan


def intervals(groups: list[States], metrics: dict[str, Metric], figures: dict[str, float]) -> dict[str, Interval]:
    """The 95% interval of each metric, of those that have one.

    Left out are a metric that other groups of the same samples would change, as the maximum over batches of something;
    one that is the same or no number in some resamples; and all if there are fewer than 10 groups.

    Args:
        groups: the states of the metrics by group, on the CPU.
        metrics: copies of the metrics, on the CPU, whose states do not matter.
        figures: what the metrics are, over all samples.
    """
    if len(groups) < FEWEST_GROUPS:
        return {}
    # The same numbers each time: the same test has the same intervals.
    resamples = np.random.default_rng(0).multinomial(len(groups), [1 / len(groups)] * len(groups), RESAMPLES)
    found = {}
    for name in figures.keys() & metrics.keys():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                interval = interval_of(metrics[name], [group[name] for group in groups], figures[name], resamples)
            except Exception:  # a metric of anybody's, in a state that it may not expect
                interval = None
        if interval:
            found[name] = interval
    return found


def interval_of(metric: Metric, groups: list[MetricState], figure: float, resamples: Counts) -> Interval | None:
    lists = [value for state in groups for value in state.values() if isinstance(value, list)]
    if sum(len(part) for value in lists for part in value) > LONGEST_LIST:
        return None
    once = np.ones_like(resamples[:1])
    whole, *values = (value_of(metric, state) for state in resampled(groups, np.concatenate([once, resamples])))
    if not (math.isclose(whole, figure, rel_tol=1e-3, abs_tol=1e-7) and all(map(math.isfinite, values))):
        return None
    tail = tail_for(len(groups))
    low, high = (float(bound) for bound in np.quantile(values, [tail, 1 - tail]))
    return (low, high) if low <= figure <= high and low < high else None


def resampled(groups: list[MetricState], resamples: Counts) -> Iterator[MetricState]:
    """The states after all groups, each so many times: (resamples, groups)."""
    sums = {}
    for key, first in groups[0].items():
        if isinstance(first, Tensor):
            stacked = torch.stack([cast(Tensor, group[key]) for group in groups]).double()  # exact up to 2**53
            sums[key] = torch.tensordot(torch.from_numpy(resamples).double(), stacked, dims=1).to(first.dtype)
    for number, counts in enumerate(resamples):
        yield {
            key: sums[key][number]
            if key in sums
            else [part for group, times in zip(groups, counts, strict=True) for part in list(group[key]) * times]
            for key in groups[0]
        }


def tail_for(groups: int) -> float:
    """The share of resamples to leave out at each end of a 95% interval, as if it were Student's.

    With a fixed 2.5%, intervals of few samples are too narrow: of 20, some 90% would have the true value in them.
    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap", on the expanded percentile interval.
    """
    normal = NormalDist()
    z, freedom = normal.inv_cdf(0.975), groups - 1
    # Student's quantile by the expansion of Fisher and Cornish, which is right to 0.1% for 10 groups.
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(-math.sqrt(groups / freedom) * student)
