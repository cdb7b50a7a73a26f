"""Checkpoint files: written whole, read without running code from them."""

import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.plugins.io import AsyncCheckpointIO
from torch import Tensor
from torch.distributed.checkpoint import CheckpointException

from ..errors import RunError
from . import shards
from .atomic import part_of, replace, restore_previous
from .runs import checkpoint_of, path_in_run, refuse_address
from .secrets import without_secrets

# What a checkpoint consists of, by the kind of each part: for a model that is used, and for a training that goes on.
WEIGHTS: dict[str, type] = {"state_dict": dict}
SUMMARY = {**WEIGHTS, "global_step": int}  # of one in shards
PARTS = {
    **SUMMARY,
    "epoch": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}


def find_last(run: Path) -> tuple[Path | None, int, bool]:
    """The last checkpoint of a training, its step, and whether the training ended there; None if nothing is saved."""
    path = path_in_run(run, "last")
    restore_previous(path)  # first: without it, a kill between two moves would start the training over
    if not path.exists():
        return None, 0, False
    saved = read(path)
    refuse_incomplete(path, saved, PARTS if path.is_file() else SUMMARY)
    return path, saved["global_step"], saved.get("resume", {}).get("finished", False)


def find(run: Path | None, wanted: str | None) -> Path:
    """The file behind --ckpt_path, which holds a model; RunError if it does not."""
    path = checkpoint_of(run, wanted)
    refuse_incomplete(path, read(path), WEIGHTS)
    return path


def read(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, read without running any code from it; tensors stay on disk until they are used."""
    try:
        if path.is_dir():
            return shards.summary(path)
        with path.open("rb") as file:
            is_old = file.read(1) == b"\x80"  # a pickle, as torch wrote them before 1.6; today's are ZIP archives
        # Memory-mapped, so that a look at a large checkpoint's shapes does not read its values.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=not is_old)
    except PermissionError as error:
        raise RunError(f"{path} cannot be loaded: {error.strerror}") from error
    except Exception as error:  # a torn or foreign file can fail anywhere in the unpickler
        raise unreadable(path, error) from error


def read_in_full(path: Path) -> dict[str, Any]:
    """The same with the values of weights in shards, which `read` leaves out, and without the optimizer's state."""
    saved = read(path)
    if not path.is_dir():
        return saved
    try:
        return {**saved, "state_dict": shards.filled(saved["state_dict"], path)}
    except (Exception, CheckpointException) as error:
        raise unreadable(path, error) from error


def identity(path: Path, run: Path) -> dict[str, Any]:
    """What tells a checkpoint from all others: its path, relative to a run that has it, its step, and a check sum.

    The sum is one of those that the file keeps of its parts, so that a large one is not read for it.
    """
    saved, place = read(path), path.resolve()
    file = path / shards.VALUES if path.is_dir() else path
    try:
        with zipfile.ZipFile(file) as archive:
            parts = repr([part.CRC for part in archive.infolist()]).encode()
    except zipfile.BadZipFile:  # as torch wrote them before 1.6
        parts = file.read_bytes()
    return {
        "path": str(place.relative_to(run.resolve()) if place.is_relative_to(run.resolve()) else place),
        "epoch": saved.get("epoch"),
        "step": saved.get("global_step"),
        "sum": zlib.crc32(parts),
    }


def read_whole(source: str | Path) -> dict[str, Any]:
    """The same, for a checkpoint that a program names; RunError for anything else, such as an address."""
    refuse_address("load_from_checkpoint", str(source))
    path = Path(source)
    if not os.path.exists(path):
        raise RunError(f"there is no checkpoint {path.absolute()}")
    saved = read_in_full(path)
    refuse_incomplete(path, saved, WEIGHTS)
    return saved


def refuse_incomplete(path: Path, saved: object, parts: dict[str, type]) -> None:
    """Raise RunError for the first part that a checkpoint lacks."""
    content = saved if isinstance(saved, dict) else {}
    for name, kind in {**parts, "resume": dict}.items():
        if not isinstance(content.get(name, {} if name == "resume" else None), kind):
            hint = "--init_from begins a training with the weights of any file"
            raise RunError(f"{path} is no checkpoint of a training: it has no {name}", hint)


def unreadable(path: Path, error: BaseException) -> RunError:
    code = "it holds more than tensors and plain values, and loading that could run code"
    reason = code if "Weights only load failed" in str(error) else "the file is damaged or no checkpoint"
    return RunError(f"{path} cannot be loaded: {reason}")


def refuse_other_model(path: Path, saved: dict[str, Tensor], current: dict[str, Tensor], hint: str = "") -> None:
    """Raise RunError with the first difference if a checkpoint's weights do not fit these: {name: tensor}."""
    for name in [*current, *saved]:
        shapes = [tuple(weights[name].shape) if name in weights else "missing" for weights in (saved, current)]
        if shapes[0] != shapes[1]:
            raise RunError(f"{path} is of another model: {name} is {shapes[0]} in it and {shapes[1]} here", hint)


class SafeCheckpointIO(AsyncCheckpointIO):
    """Saves in the background, and only what can be read back without running code; reads nothing else."""

    def __init__(self) -> None:
        super().__init__(AtomicCheckpointIO())
        self.has_checked_values = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        remove_secrets(checkpoint)
        if not self.has_checked_values:  # the kinds of values stay the same from one save to the next
            refuse_unsafe_values(checkpoint)
            self.has_checked_values = True
        # Lightning would copy the tensors on their device, where there may be no room for a second training state.
        checkpoint = apply_to_collection(checkpoint, Tensor, Tensor.cpu)
        super().save_checkpoint(checkpoint, path, storage_options)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a file that appears only once it is whole; until then, the one before it stays."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = part_of(path)
        try:
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                # Without this, a power cut could leave the new name on a file that is still empty.
                file.flush()
                os.fsync(file.fileno())
            replace(path, part)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            part.unlink(missing_ok=True)
            free = shutil.disk_usage(path.parent).free / 2**20
            raise RunError(
                f"{path} cannot be written, with {free:.0f} MiB left on its disk ({' '.join(str(error).split())[:80]})",
                "to free some, and the same command, which goes on from the checkpoint before it",
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        if Path(path).is_dir():  # in shards, and the strategy is not
            return read_in_full(Path(path))
        return super().load_checkpoint(path, map_location or (lambda storage, _: storage), weights_only=True)


def remove_secrets(checkpoint: dict[str, Any]) -> None:
    for section in [key for key in checkpoint if key.endswith("hyper_parameters")]:
        checkpoint[section] = without_secrets(checkpoint[section])


def refuse_unsafe_values(checkpoint: dict[str, Any]) -> None:
    """Raise RunError for what could be saved, and then not be loaded without running code."""
    for section in checkpoint.keys() - {"state_dict", "optimizer_states"}:  # tensors, too many to try
        if not is_safe_to_load(checkpoint[section]):
            place, value = unsafe_entry(section, checkpoint[section])
            raise RunError(
                f"{place} is a {type(value).__name__}, which no checkpoint can be loaded with safely",
                "numbers, text, lists, dicts or tensors",
            )


def unsafe_entry(place: str, value: object) -> tuple[str, object]:
    """The innermost entry of a value that cannot be loaded safely, and where it is: `callbacks Mine history 0`."""
    entries: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list | tuple):
        entries = enumerate(value)
    for name, entry in entries:
        if not is_safe_to_load(entry):
            return unsafe_entry(f"{place} {name}", entry)
    return place, value


def is_safe_to_load(value: object) -> bool:
    """Whether a value can be saved, and be loaded with weights_only=True."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:  # each kind of object has its own way to fail
        return False
    return True
