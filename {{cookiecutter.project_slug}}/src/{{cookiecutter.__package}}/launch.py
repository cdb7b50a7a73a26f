"""How many processes, and on what: what a launcher has decided, and what this machine lacks."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from .checkpoints import RunError

ELSEWHERE = "--preset cpu or ddp-cpu"
CUDA = f"{ELSEWHERE}; a GPU that nvidia-smi lists needs a torch with CUDA"
# By the name of an accelerator: whether it is here, what is missing if not, what to do then.
ACCELERATORS: dict[str, tuple[Callable[[], bool], str, str]] = {
    "cuda": (CUDAAccelerator.is_available, f"torch {torch.__version__} finds no NVIDIA GPU", CUDA),
    "gpu": (
        lambda: CUDAAccelerator.is_available() or MPSAccelerator.is_available(),
        f"torch {torch.__version__} finds no GPU",
        CUDA,
    ),
    "mps": (
        MPSAccelerator.is_available,
        "this computer has no Apple GPU",
        f"{ELSEWHERE}; gpu for others",
    ),
    "tpu": (
        XLAAccelerator.is_available,
        "no TPU, or no package torch_xla that fits this torch",
        f"{ELSEWHERE}; a TPU's machine has a torch and torch_xla of its own",
    ),
}


def refuse_absent(trainer: Any) -> None:
    """Raise RunError, with what to try, if the Trainer's settings name a device or a package that is not here."""
    if str(trainer.strategy).startswith("deepspeed") and not importlib.util.find_spec("deepspeed"):
        raise RunError(
            f"--trainer.strategy {trainer.strategy}: the package deepspeed is not installed",
            "--preset fsdp; or uv add deepspeed, where CUDA's compiler is installed",
        )
    if trainer.accelerator in ACCELERATORS:
        available, lack, attempt = ACCELERATORS[trainer.accelerator]
        if not available():
            raise RunError(f"--trainer.accelerator {trainer.accelerator}: {lack}", attempt)


def launched() -> dict[str, Any]:
    """The Trainer's settings that torchrun or SLURM have made by starting this process; none if they did not."""
    if TorchElasticEnvironment.detect():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        return {"devices": here, "num_nodes": int(os.environ["WORLD_SIZE"]) // here}
    if SLURMEnvironment.detect():
        hosts = int(os.environ["SLURM_NNODES"])
        # A signal ends the training as everywhere (resume.py), and the batch script puts the job back into the queue.
        plugins = [SLURMEnvironment(auto_requeue=False)]
        return {"devices": int(os.environ["SLURM_NTASKS"]) // hosts, "num_nodes": hosts, "plugins": plugins}
    return {}
