"""What `predict_step` may answer for a batch: tensors and lists with an entry for each sample, and dicts of these."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from ..errors import RunError
from .samples import possible_counts

HINT = "a tensor or a list with an entry for each sample, or several of these in a dict or a tuple"
PLAIN: tuple[Any, ...] = (bool, int, float, str, bytes)


def plain(answer: Any, place: str = "predict_step's answer") -> Any:
    """An answer with dicts and tuples in place of all kinds of these.

    Raises:
        RunError: for what has no entry for each sample, or cannot be loaded without running code.
    """
    if isinstance(answer, Tensor) and answer.ndim:
        return answer
    if isinstance(answer, list):
        return [plain_entry(entry, f"{place}[{number}]") for number, entry in enumerate(answer)]
    if (parts := parts_of(answer)) is not None:
        return map_parts(plain, parts, place)
    raise RunError(f"{place} is of type {type(answer).__name__} and has no entry for each sample", HINT)


def plain_entry(entry: Any, place: str) -> Any:
    """The entry of one sample in a list."""
    if entry is None or isinstance(entry, Tensor):
        return entry
    for kind in PLAIN:
        if isinstance(entry, kind):
            return kind(entry)  # a subclass, such as NumPy's float64, would take code to load
    if isinstance(entry, list):
        return [plain_entry(part, f"{place}[{number}]") for number, part in enumerate(entry)]
    if (parts := parts_of(entry)) is not None:
        return map_parts(plain_entry, parts, place)
    hint = "tensors, numbers and texts, or lists, tuples, dicts and dataclasses of these"
    raise RunError(f"{place} is of type {type(entry).__name__}, which cannot be loaded without running code", hint)


def parts_of(value: Any) -> dict[Any, Any] | tuple[Any, ...] | None:
    """What a dict, a tuple or a dataclass of any kind consists of; None for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return tuple(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def map_parts(function: Callable[[Any, str], Any], parts: dict[Any, Any] | tuple[Any, ...], place: str) -> Any:
    if isinstance(parts, dict):
        return {plain_entry(key, place): function(part, f"{place}[{key!r}]") for key, part in parts.items()}
    return tuple(function(part, f"{place}[{number}]") for number, part in enumerate(parts))


def layout_of(answer: Any) -> Any:
    """The dicts and tuples of an answer, with a word in place of each tensor and list."""
    if isinstance(answer, dict | tuple):
        return map_parts(lambda part, _: layout_of(part), answer, "")
    return "nothing" if answer is None else "tensor" if isinstance(answer, Tensor) else "list"


def leaves(answer: Any) -> Iterator[Tensor | list[Any]]:
    """The tensors and lists of an answer, with an entry for each sample."""
    if isinstance(answer, dict | tuple):
        for part in answer.values() if isinstance(answer, dict) else answer:
            yield from leaves(part)
    else:
        yield answer


def answer_to(batch: Any, outputs: Any) -> Any:
    """What predict_step has returned for a batch, plain; RunError as soon as it cannot be kept."""
    answer = plain(outputs)
    refuse_other_counts(answer, batch)
    return answer


def refuse_other_counts(answer: Any, batch: Any) -> None:
    counts, possible = [len(leaf) for leaf in leaves(answer)], possible_counts(batch)
    samples = f"a batch of {min(possible)} samples" if len(possible) == 1 else "a batch"
    if len(set(counts)) > 1 or (possible and not possible.issuperset(counts)):
        entries = " and ".join(map(str, counts))
        raise RunError(f"predict_step returned {entries} entries for {samples}, not one for each", HINT)
