"""How many processes a training has, and on what: what a launcher has decided, and what this machine lacks."""

import importlib.util
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jsonargparse import Namespace
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies.launchers import subprocess_script
from pytorch_lightning.trainer.connectors import accelerator_connector

from ..errors import RunError
from .ranks import is_first_process, number_in

# What `devices` may be: a number, or a choice of those that are there.
CPU_DEVICES = r"auto|[1-9]\d*"
GPU_DEVICES = r"auto|-1|[1-9]\d*|\[\d+(,\d+)*\]|\d+(,\d*)+"
# What says, beside torchrun and SLURM, that other hosts have processes: started by hand, or by LSF.
STARTED_ELSEWHERE = ("MASTER_ADDR", "NODE_RANK", "LSB_JOBID")
ON_THE_CPU = "--preset cpu or ddp-cpu"
CUDA_HINT = f"{ON_THE_CPU}; a GPU that nvidia-smi lists needs a torch with CUDA"
# By the name of an accelerator: whether it is here, what is missing if not, what to try then.
ACCELERATORS: dict[str, tuple[Callable[[], bool], str, str]] = {
    "cuda": (CUDAAccelerator.is_available, f"torch {torch.__version__} finds no NVIDIA GPU", CUDA_HINT),
    "gpu": (
        lambda: CUDAAccelerator.is_available() or MPSAccelerator.is_available(),
        f"torch {torch.__version__} finds no GPU",
        CUDA_HINT,
    ),
    "mps": (MPSAccelerator.is_available, "this computer has no Apple GPU", f"{ON_THE_CPU}; --preset gpu for others"),
    "tpu": (
        XLAAccelerator.is_available,
        "there is no TPU, or no package torch_xla that fits this torch",
        f"{ON_THE_CPU}; a TPU's machine comes with its own torch and torch_xla",
    ),
}


def refuse_missing_hardware(trainer: Namespace) -> None:
    """Raise RunError, with what to try, if the Trainer's settings name a device or a package that is not here."""
    if str(trainer.strategy).startswith("deepspeed") and not importlib.util.find_spec("deepspeed"):
        raise RunError(
            f"--trainer.strategy {trainer.strategy} needs the package deepspeed, not installed here",
            "--preset fsdp; or uv add deepspeed, where CUDA's compiler is installed",
        )
    if trainer.accelerator in ACCELERATORS:
        is_available, what_is_missing, hint = ACCELERATORS[trainer.accelerator]
        if not is_available():
            raise RunError(f"--trainer.accelerator {trainer.accelerator}: {what_is_missing}", hint)


def refuse_missing_processes(trainer: Namespace) -> None:
    """Raise RunError for devices that cannot be counted, and for hosts on which nothing starts a process."""
    has_others = any(is_available() for is_available, *_ in ACCELERATORS.values())
    is_on_cpu = trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not has_others)
    counts = CPU_DEVICES if is_on_cpu else GPU_DEVICES
    if not re.fullmatch(counts, str(trainer.devices).replace(" ", "")):
        wanted = "auto or a number, 1 or more" if is_on_cpu else "auto, a number, or a list of numbers"
        raise RunError(f"--trainer.devices is {trainer.devices}, and must be {wanted}")
    if trainer.strategy == "ddp_spawn":
        raise RunError("--trainer.strategy ddp_spawn cannot send a command to its processes", "--trainer.strategy ddp")
    is_launched = TorchElasticEnvironment.detect() or SLURMEnvironment.detect()
    is_launched |= any(variable in os.environ for variable in STARTED_ELSEWHERE)
    if trainer.num_nodes > 1 and not is_launched:
        raise RunError(
            f"--trainer.num_nodes is {trainer.num_nodes}, and nothing has started processes on other hosts",
            "srun, as scripts/train.sbatch does, or torchrun on each host; both say how many there are",
        )


def follow_first_process(variable: str) -> None:
    """Have the processes that Lightning starts beside this one know it, and end soon after it ends (not on Windows).

    When it is killed, nobody else ends them: they would wait for it for half an hour.

    Args:
        variable: the environment variable that tells them its number.
    """
    if is_first_process():
        os.environ[variable] = str(os.getpid())
    elif (first := os.environ.get(variable)) and not launcher_settings():
        threading.Thread(target=end_with, args=(int(first),), daemon=True).start()


def end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def started_by(to_start: Callable[[Callable[[], Sequence[str]]], Sequence[str]] | None) -> Iterator[None]:
    """Have Lightning start processes with another command than it would, also in a notebook, where it refuses to.

    Args:
        to_start: the command, from a function that gives Lightning's own; None for that.
    """
    own, is_interactive = subprocess_script._basic_subprocess_cmd, accelerator_connector._IS_INTERACTIVE
    if to_start:
        subprocess_script._basic_subprocess_cmd = partial(to_start, own)
        accelerator_connector._IS_INTERACTIVE = False
    try:
        yield
    finally:
        subprocess_script._basic_subprocess_cmd = own
        accelerator_connector._IS_INTERACTIVE = is_interactive


def launcher_settings() -> dict[str, Any]:
    """The Trainer's settings that torchrun or SLURM decided when they started this process; none without them."""
    if TorchElasticEnvironment.detect():
        devices = number_in("LOCAL_WORLD_SIZE", "torchrun")
        return {"devices": devices, "num_nodes": number_in("WORLD_SIZE", "torchrun") // devices}
    if SLURMEnvironment.detect():
        hosts = number_in("SLURM_NNODES", "srun")
        # training/signals.py stops the training at SLURM's signal, and the batch script requeues the job. Lightning's
        # own handler would save in the middle of a batch.
        plugins = [SLURMEnvironment(auto_requeue=False)]
        return {"devices": number_in("SLURM_NTASKS", "srun") // hosts, "num_nodes": hosts, "plugins": plugins}
    return {}
