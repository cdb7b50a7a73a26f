"""Kill trainings at random moments, let each go on, and compare the end with that of a training nobody touched.

    python kills.py SEED KILLS [flags of fit]

Runs in the folder of a baked project, in its environment. Children are forked, so that nobody waits for imports. For
1 and 2 processes, 0 and 2 workers, with and without averaged weights. Prints one line a setting, and the kills in all.
"""

import os
import random
import shutil
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import torch
from lit_project import data
from lit_project.__main__ import load_parts, main
from torch.utils.data import Dataset

EMA = '{"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.9}}'
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]


class Noisy(Dataset):
    """Adds noise from every random stream to floating-point samples."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        inputs, targets = self.dataset[index]
        if inputs.is_floating_point():
            inputs = inputs + 0.01 * (torch.randn_like(inputs) + random.random() + np.random.rand())
        return inputs, targets


class NoisyData(data.DataModule):
    def setup(self, stage):
        super().setup(stage)
        self.train = Noisy(self.train)


def start(run, flags, processes):
    """Fork the processes of one training; return their ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            write_to_log(run)
            if processes > 1:
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank), NODE_RANK="0")
                os.environ.update(WORLD_SIZE=str(processes), LIT_PROJECT_RUN=run)
            os._exit(train(run, flags))
        children.append(child)
    return children


def write_to_log(run):
    """Have a forked process, whose workers die with it, write into a file."""
    os.setpgid(0, 0)
    log = os.open(f"{run}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


def train(run, flags):
    """The exit code of a training."""
    try:
        main(["fit", "--run", run, *flags])
    except SystemExit as stopped:
        return stopped.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def ended(children, seconds):
    """Whether all processes came to their end within the time; raise if one of them failed."""
    deadline = time.monotonic() + seconds
    waiting = set(children)
    while waiting and time.monotonic() < deadline:
        for child in list(waiting):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                waiting.discard(child)
                if status:
                    kill(waiting)
                    raise RuntimeError(f"process ended with {os.waitstatus_to_exitcode(status)}")
        time.sleep(0.002)
    if waiting:
        kill(waiting)
    return not waiting


def kill(children):
    for child in children:
        for target in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                target(child, signal.SIGKILL)
        os.waitpid(child, 0)


def differences(one, other):
    """The largest difference of weights and optimizer states, and whether the metrics are the same."""
    largest = 0.0
    for file in ("last.ckpt", "best.ckpt"):
        first, second = (torch.load(Path("runs", run, "checkpoints", file), weights_only=True) for run in (one, other))
        for section in ("state_dict", "optimizer_states", "lr_schedulers", "current_model_state"):
            largest = max(largest, difference(first.get(section), second.get(section)))
    texts = [Path("runs", run, "metrics.csv").read_text() for run in (one, other)]
    return largest, texts[0] == texts[1]


def difference(one, other):
    if isinstance(one, torch.Tensor):
        return (one.double() - other.double()).abs().max().item() if one.numel() else 0.0
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return max((difference(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        return max(map(difference, one, other), default=0.0)
    return 0.0 if one == other else float("inf")


def survive(draw, flags, processes, kills, name):
    """Train once untouched and once with kills; return how many there were, and the differences."""
    shutil.rmtree(f"runs/{name}-untouched", ignore_errors=True)
    shutil.rmtree(f"runs/{name}-killed", ignore_errors=True)
    begun = time.monotonic()
    if not ended(start(f"{name}-untouched", flags, processes), 300):
        raise RuntimeError("the untouched run did not end")
    seconds = time.monotonic() - begun
    killed = 0
    while killed < kills:
        if ended(start(f"{name}-killed", flags, processes), draw.uniform(0.0, 1.0) * seconds):
            shutil.rmtree(f"runs/{name}-killed")  # it came to its end: once more from the beginning
        else:
            killed += 1
    # The last part in Lightning's own steps: the same, to the last bit.
    if not ended(start(f"{name}-killed", [*flags, "--short_steps=false"], processes), 300):
        raise RuntimeError("the last part did not end")
    return killed, *differences(f"{name}-untouched", f"{name}-killed")


def run(seed, kills, flags):
    data.DataModule = NoisyData
    assert load_parts().data is NoisyData
    draw = random.Random(seed)
    total = 0
    failed = []
    for processes, workers, averaged in product((1, 2), (0, 2), (False, True)):
        setting = [*QUIET, *flags, f"--data.num_workers={workers}", f"--trainer.devices={processes}"]
        setting += ["--trainer.strategy=ddp"] if processes > 1 else []
        setting += [f"--trainer.callbacks+={EMA}"] if averaged else []
        setting += [f"--last_checkpoint.every_n_steps={draw.randint(1, 5)}"]
        name = f"p{processes}-w{workers}-{'ema' if averaged else 'plain'}"
        killed, largest, same = survive(draw, setting, processes, kills, name)
        total += killed
        print(f"{name}: {killed} kills, largest difference {largest}, same metrics {same}", flush=True)
        if largest or not same:
            failed.append(name)
    print(f"seed {seed}: {total} kills, not the same: {failed or 'none'}")
    return not failed


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(not run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
