"""Kill a process while it writes a checkpoint, again and again: none may be torn or missing, and nothing may pile up.

    python saving.py SEED KILLS

Runs in the folder of a baked project, in its environment.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from lit_project.engine.saving.checkpoints import AtomicCheckpointIO

FILE = Path("saving/last.ckpt")


def save(number):
    AtomicCheckpointIO().save_checkpoint({"number": number, "weights": torch.full((500_000,), float(number))}, FILE)


def save_for_ever(first):
    number = first
    while True:
        number += 1
        save(number)


def run(seed, kills):
    draw = random.Random(seed)
    save(0)
    started = time.monotonic()
    save(1)
    seconds = time.monotonic() - started
    number, while_writing = 1, 0
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            save_for_ever(number)
        time.sleep(draw.uniform(0, 4 * seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        checkpoint = torch.load(FILE, weights_only=True)
        assert checkpoint["number"] >= number, "an older checkpoint came back"
        assert (checkpoint["weights"] == checkpoint["number"]).all(), "parts of two checkpoints"
        number = checkpoint["number"]
        left = {path.name for path in FILE.parent.iterdir()}
        while_writing += len(left) - 1
        assert left <= {FILE.name, f".{FILE.name}.part"}, left
    print(f"seed {seed}: {kills} kills, {while_writing} while a file was half written, 0 unreadable")
    return while_writing


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(0 if run(int(sys.argv[1]), int(sys.argv[2])) else "no kill met a file half written: nothing was tried")
