"""Read a checkpoint in shards, a folder with a file of each process (torch.distributed.checkpoint), with no code run.

torch 2.13 unpickles such a folder's index, and every value in it that is not a tensor, whatever they are. So both are
read first by an unpickler that knows nothing but what an index and plain values consist of.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import checkpoint as distributed_checkpoint
from torch.distributed.checkpoint import DefaultLoadPlanner, FileSystemReader, Metadata
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.planner import ReadItem

from .runs import INDEX

VALUES = "meta.pt"  # all that Lightning saves beside weights and optimizers
# The classes and functions of which an index consists, by module.
ALLOWED_IN_INDEX = {
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size"} | {name for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    "pathlib": {"PosixPath", "WindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},  # Python 3.13
}


def summary(folder: Path) -> dict[str, Any]:
    """A checkpoint's plain values, with `state_dict` as {name: tensor of the whole shape, without data}."""
    saved = torch.load(folder / VALUES, map_location="cpu", weights_only=True)
    weights = {
        name.removeprefix("state_dict."): torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
        for name, entry in SafeReader(folder).read_metadata().state_dict_metadata.items()
        if name.startswith("state_dict.") and isinstance(entry, TensorStorageMetadata)
    }
    return {**saved, "state_dict": weights}


def filled(weights: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """These weights, of which a summary has no more than names and shapes, with the values that a checkpoint has."""
    state = {name: torch.empty_like(tensor, device="cpu") for name, tensor in weights.items()}
    load({"state_dict": state}, folder, is_alone=True)
    return state


def load(state: dict[str, Any], folder: Path, is_alone: bool = False) -> None:
    """Fill the tensors of a state, whole or this process's shards, with what a checkpoint has under the same names.

    Args:
        state: the tensors.
        folder: the checkpoint.
        is_alone: whether other processes read nothing at the same time.
    """
    is_alone |= not distributed.is_initialized()
    reader, planner = SafeReader(folder), SafePlanner()
    distributed_checkpoint.load(state, storage_reader=reader, planner=planner, no_dist=is_alone)


class SafeReader(FileSystemReader):
    """Refuses an index that holds more than an index."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        IndexUnpickler(io.BytesIO(Path(self.path, INDEX).read_bytes())).load()
        return super().read_metadata(*args, **kwargs)


class IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in ALLOWED_IN_INDEX.get(module, ()):
            raise pickle.UnpicklingError(f"Weights only load failed: {module}.{name} has no place in an index")
        return super().find_class(module, name)


class SafePlanner(DefaultLoadPlanner):
    """Refuses values beside the tensors that could run code."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        torch.load(value, weights_only=True)
        value.seek(0)
        super().load_bytes(read_item, value)
