"""Probe: a set's metrics again, for some of its samples at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torchmetrics import Metric, MetricCollection

from .bootstrap import Groups, Interval, States, intervals, joined, states_of, value_of
from .loop_state import to_cpu
from .mean import Mean
from .pictures import Columns
from .samples import count_samples

Names = dict[str, list[str]]  # the group of each sample, by kind of group: {"file": ["a.py", "a.py", "b.py"]}
Member = tuple[States, int]  # of a group that has a name: the states of the metrics, and how many samples it has
Members = dict[str, dict[str, Member]]  # by kind and name


class Probe:
    """The metrics and the loss of one set, for some of its samples at a time.

    Args:
        metrics: those of the set, such as test/accuracy or test/clean/accuracy.
        objective: has `forward(outputs, targets)`, the loss.
        update: its `update_metrics(metrics, outputs, targets, loss)`.

    Attributes:
        by_name: copies of the metrics and the mean loss, by the names under which they are logged.
        groups: what they are for successive samples.
        members: what they are for each group that has a name.
        is_possible: whether samples can be judged apart.
    """

    def __init__(self, metrics: MetricCollection, objective: nn.Module, update: Callable[..., None]) -> None:
        self.objective, self.update = objective, update
        copies = {str(name): metric.clone() for name, metric in metrics.items(keep_base=True, copy_state=False)}
        # Without compute groups: metrics that agree about a single sample need not share a state.
        self.metrics = MetricCollection(dict(copies), prefix=metrics.prefix, compute_groups=False)
        self.loss = Mean()
        self.by_name = {f"{metrics.prefix or ''}{name}": metric for name, metric in copies.items()}
        self.by_name[f"{metrics.prefix or ''}loss"] = self.loss
        for metric in self.by_name.values():
            metric.distributed_available_fn = lambda: False  # each process looks at its own samples
        self.groups = Groups()
        self.members: Members = {}
        # Weights in shards are gathered by all processes at once, whose samples may be more or fewer.
        self.is_possible = not any(isinstance(weight, DTensor) for weight in objective.parameters())

    def see(self, outputs: Any, targets: Any, names: Names) -> None:
        """Take in a batch, as the objective's update_metrics is given it."""
        if not self.is_possible:
            return
        try:
            samples, size = count_samples(outputs), self.groups.size
            self._move_to(next(self.objective.parameters(), outputs))
            for first in range(0, samples, size):
                chosen = list(range(first, min(first + size, samples)))
                self.groups.add(self._states(outputs, targets, samples, chosen), len(chosen))
            for kind, of_samples in names.items():
                members = self.members.setdefault(kind, {})
                for name in dict.fromkeys(of_samples):
                    chosen = [sample for sample, its in enumerate(of_samples) if its == name]
                    states = self._states(outputs, targets, samples, chosen)
                    add_member(members, name, states, len(chosen))
        except Exception:  # an objective for whole batches, or a metric that does not take a single sample
            self.is_possible = False

    def _move_to(self, tensor: Any) -> None:
        if isinstance(tensor, Tensor) and tensor.device != self.loss.device:
            for metric in self.by_name.values():
                metric.to(tensor.device)

    def _states(self, outputs: Any, targets: Any, samples: int, chosen: list[int]) -> States:
        """The states of all metrics after these samples alone."""
        for metric in self.by_name.values():
            metric.reset()
        some_outputs, some_targets = some(outputs, samples, chosen), some(targets, samples, chosen)
        # `forward` itself: a compiled objective would be compiled for each number of samples.
        loss = self.objective.forward(some_outputs, some_targets)
        self.update(self.metrics, some_outputs, some_targets, loss)
        self.loss.update(loss, weight=len(chosen))
        return states_of(self.by_name)

    def seen(self) -> "Seen | None":
        """All that was seen, on the CPU, for other processes; None if samples cannot be judged apart."""
        if not self.is_possible:
            return None
        members = {
            kind: {name: (on_cpu(states), count) for name, (states, count) in of_kind.items()}
            for kind, of_kind in self.members.items()
        }
        return Seen([on_cpu(states) for states in self.groups.states], members)

    def together(self, of_processes: "list[Seen | None]") -> "Whole | None":
        """What all processes have seen; None if one of them cannot tell."""
        parts = [seen for seen in of_processes if seen]
        if not parts or len(parts) < len(of_processes):
            return None
        members: Members = {}
        for seen in parts:
            for kind, of_kind in seen.members.items():
                for name, (states, count) in of_kind.items():
                    add_member(members.setdefault(kind, {}), name, states, count)
        metrics = {name: metric.cpu() for name, metric in self.by_name.items()}
        return Whole(metrics, [states for seen in parts for states in seen.groups], members)


class Seen(NamedTuple):
    """What one process has seen of a set."""

    groups: list[States]
    members: Members


@dataclass
class Whole:
    """What all processes have seen of a set, and the metrics that tell it."""

    metrics: dict[str, Metric]
    groups: list[States]
    members: Members

    def intervals(self, figures: dict[str, float]) -> dict[str, Interval]:
        """The 95% interval of each metric that has one."""
        return intervals(self.groups, self.metrics, figures)

    def by_kind(self) -> dict[str, Columns]:
        """A table for each kind of group: its members by falling loss, with the number of their samples."""
        return {kind: self._table(kind) for kind in self.members}

    def _table(self, kind: str) -> Columns:
        names = list(self.members[kind])
        columns: dict[str, list[Any]] = {kind: names, "samples": [count for _, count in self.members[kind].values()]}
        for name, metric in self.metrics.items():
            columns[name.rpartition("/")[2]] = [value_of(metric, self.members[kind][one][0][name]) for one in names]
        order = sorted(range(len(names)), key=lambda number: -columns["loss"][number])
        return {name: [values[number] for number in order] for name, values in columns.items()}


def add_member(members: dict[str, Member], name: str, states: States, count: int) -> None:
    if name in members:
        before, count_before = members[name]
        states, count = joined(before, states), count + count_before
    members[name] = states, count


def some(batch: Any, samples: int, chosen: list[int]) -> Any:
    """Some samples of outputs or targets, wherever they are in dicts, lists and tuples; the rest as it is."""
    if isinstance(batch, Tensor):
        whole = chosen == list(range(samples))
        return batch if whole or not batch.ndim or len(batch) != samples else batch[chosen]
    if isinstance(batch, dict):
        return {key: some(value, samples, chosen) for key, value in batch.items()}
    if isinstance(batch, list) and len(batch) == samples:
        return [batch[number] for number in chosen]
    if isinstance(batch, tuple | list):
        return type(batch)(some(value, samples, chosen) for value in batch)
    return batch


def on_cpu(states: States) -> States:
    return {name: {key: to_cpu(value) for key, value in state.items()} for name, state in states.items()}
