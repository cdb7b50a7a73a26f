"""What a model, its data and its callbacks remember in plain attributes, which no checkpoint of Lightning's holds.

A momentum that a hook changes, a replay buffer, a count of steps: weights and buffers are saved, these are not. Here
each attribute that has changed since the training began is saved and put back. What was set before is left alone: it
follows from settings, and a training may go on with others.
"""

import random
import sys
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

# Lightning looks after these itself, but not after `training`: whether a module is in its training or evaluation mode.
LIGHTNINGS_OWN = {*vars(pl.LightningModule()), *vars(pl.LightningDataModule())} - {"training"}
ENGINE = __name__.rpartition(".training.")[0]
LARGE = 2**24  # bytes of an array; the content of a larger one is not looked at
KINDS = {kind.__name__: kind for kind in (list, tuple, set, deque)}
Plain = Any  # what a checkpoint holds: a number, text, a tensor, or a pair of a kind and what is in it


class Memory:
    """The attributes of a training, compared with those that it began with."""

    def __init__(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self.model = model
        self.data = trainer.datamodule  # type: ignore[attr-defined] # connectors of Lightning's set these two
        self.callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self._objects_at_start: list[Any] = []
        self._at_start = {
            name: fingerprint(getattr(*place), self._objects_at_start) for name, place in self._attributes()
        }

    def changed(self) -> tuple[dict[str, Plain], list[str]]:
        """What a checkpoint is to hold, by name; and the names of what changed and cannot be held."""
        kept, lost = {}, []
        for name, (owner, attribute) in self._attributes():
            value = getattr(owner, attribute)
            if self._at_start.get(name) != fingerprint(value, []):
                try:
                    kept[name] = to_plain(value)
                except TypeError:
                    lost += [] if is_looked_after(value) else [name]
        return kept, lost

    def restore(self, saved: dict[str, Plain]) -> None:
        owners = dict(self._owners())
        for name, plain in saved.items():
            owner_name, _, attribute = name.rpartition(".")
            if owner := owners.get(owner_name):
                current = getattr(owner, attribute, None)
                setattr(owner, attribute, from_plain(plain, current, self.model.device))

    def _attributes(self) -> Iterator[tuple[str, tuple[Any, str]]]:
        for name, owner in self._owners():
            yield from ((f"{name}.{attribute}", (owner, attribute)) for attribute in attributes_of(owner))

    def _owners(self) -> Iterator[tuple[str, Any]]:
        """Modules, the DataModule, callbacks, and objects of the team's own classes in their attributes."""
        found = [("model", self.model)]
        found += [(f"model.{name}", module) for name, module in self.model.named_modules() if name]
        found += [("data", self.data)] if has_no_state_of_its_own(self.data) else []
        numbers: Counter[str] = Counter()
        for callback in filter(has_no_state_of_its_own, self.callbacks):
            kind = type(callback).__name__
            numbers[kind] += 1  # two of a kind are told apart, whatever other callbacks there are
            found.append((kind if numbers[kind] == 1 else f"{kind} {numbers[kind]}", callback))
        seen = set()
        while found:
            name, owner = found.pop()
            saves_itself = isinstance(owner, Metric | MetricCollection) or is_engines(type(owner))
            if id(owner) not in seen and not saves_itself:
                seen.add(id(owner))
                yield name, owner
                values = ((attribute, getattr(owner, attribute)) for attribute in attributes_of(owner))
                found += [(f"{name}.{attribute}", value) for attribute, value in values if is_of_team(value)]


def fingerprint(value: Any, objects: list[Any]) -> object:
    """Something that differs once a value has changed.

    Args:
        value: anything.
        objects: gets the tensors and other objects in it, which are told apart by where they lie. As long as the list
            lives, no new one can lie there.
    """
    if isinstance(value, list | tuple | deque):
        return type(value), hash(tuple(fingerprint(entry, objects) for entry in value))
    if isinstance(value, set | frozenset):
        return frozenset(fingerprint(entry, objects) for entry in value)
    if isinstance(value, dict):
        return hash(tuple((key, fingerprint(entry, objects)) for key, entry in value.items()))
    if isinstance(value, torch.Generator | random.Random | np.random.Generator):
        return fingerprint(state_of(value), objects)
    if isinstance(value, np.ndarray) and value.nbytes < LARGE:
        return value.tobytes()
    if isinstance(value, bool | int | float | str | bytes | np.generic | None):
        return type(value), value
    objects.append(value)
    counts_changes = isinstance(value, Tensor) and not isinstance(value, nn.Parameter) and not value.is_inference()
    return id(value), value._version if counts_changes else 0


def attributes_of(owner: Any) -> list[str]:
    """The attributes of an object of which nobody else keeps track."""
    names = [name for name in vars(owner) if name not in LIGHTNINGS_OWN]
    if is_of_library(type(owner)):
        names = [name for name in names if not name.startswith("_")]
    if isinstance(owner, nn.Module):
        names += sorted(owner._non_persistent_buffers_set)
    return names


def has_no_state_of_its_own(owner: pl.Callback | pl.LightningDataModule | None) -> bool:
    """Whether a callback or DataModule of the team leaves it to others to save what it remembers."""
    if owner is None or is_of_library(type(owner)):
        return False
    return type(owner).state_dict in (pl.Callback.state_dict, pl.LightningDataModule.state_dict)


def is_of_team(value: Any) -> bool:
    is_object = hasattr(value, "__dict__") and not isinstance(value, nn.Module | pl.Callback | type)
    return is_object and not callable(value) and not is_of_library(type(value))


def is_looked_after(value: Any) -> bool:
    """Whether a value is a part of the training that is saved with it, such as an optimizer, or made anew."""
    return callable(value) or type(value).__module__.partition(".")[0] in ("torch", "pytorch_lightning", "torchmetrics")


def is_engines(kind: type) -> bool:
    return f"{kind.__module__}.".startswith(f"{ENGINE}.")


def is_of_library(kind: type) -> bool:
    """Whether a class comes from the standard library, an installed package or the engine."""
    if is_engines(kind):
        return True
    file = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
    return kind.__module__.partition(".")[0] in sys.stdlib_module_names or "site-packages" in file


def state_of(generator: torch.Generator | random.Random | np.random.Generator) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state().numpy()
    return generator.getstate() if isinstance(generator, random.Random) else generator.bit_generator.state


def to_plain(value: Any) -> Plain:
    """A value as a checkpoint can hold it; TypeError if it cannot."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return value.detach() if value.device.type == "cpu" else ("on device", value.detach())
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return "array", torch.from_numpy(value.copy())
    if isinstance(value, torch.Generator | random.Random | np.random.Generator):
        return "generator", to_plain(state_of(value))
    if isinstance(value, dict) and all(isinstance(key, str | int | float | tuple) for key in value):
        return "dict", [(key, to_plain(entry)) for key, entry in value.items()]
    if type(value).__name__ in KINDS:
        return type(value).__name__, [to_plain(entry) for entry in value]
    raise TypeError(f"no checkpoint can hold a {type(value).__name__}")


def from_plain(plain: Plain, current: Any, device: torch.device) -> Any:
    """What `to_plain` was given; in the object that is there, since others may hold that too."""
    if isinstance(plain, Tensor):
        return refill(current, plain)
    if not isinstance(plain, tuple):
        return plain
    kind, content = plain
    if kind == "on device":
        return refill(current, content.to(device))
    if kind == "array":
        return refill(current, content.numpy())
    if kind == "generator":
        set_state(current, from_plain(content, None, device))
        return current
    if kind == "dict":
        return refill(current, {key: from_plain(entry, None, device) for key, entry in content})
    return refill(current, KINDS[kind](from_plain(entry, None, device) for entry in content))


def refill(current: Any, value: Any) -> Any:
    """Put a value into the object that is there; return that, or the value if it does not fit."""
    if not isinstance(current, type(value)) or isinstance(value, tuple):
        return value
    if isinstance(value, Tensor | np.ndarray):
        if (current.shape, current.dtype) != (value.shape, value.dtype):
            return value
        with torch.no_grad():
            current[...] = value
        return current
    current.clear()
    if isinstance(value, dict | set):
        current.update(value)
    else:
        current.extend(value)
    return current


def set_state(generator: torch.Generator | random.Random | np.random.Generator, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(torch.from_numpy(state))
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.bit_generator.state = state
