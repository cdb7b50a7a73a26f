"""Run commands of a baked project, each in processes forked from this one, which has imported the libraries.

A command takes a second or so, instead of six. Reads a line of JSON for each, {"args": ["fit"], "processes": 1,
"stop": [batch, signal] or null}, and answers with one, {"code": 0, "printed": "..."}. {"code": "..."} runs Python.
The files in front are imported by each child anew, so they may change between two commands.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path

import matplotlib.figure  # noqa: F401 - here once, so that no child need import it
import sklearn.datasets  # noqa: F401
import torch
import torchmetrics.classification  # noqa: F401
from lit_project.__main__ import main
from lit_project.engine.command import memory, stages  # noqa: F401
from lit_project.engine.training.resume import LastCheckpoint


def checkpoint(run, name="last"):
    return torch.load(Path("runs", run, "checkpoints", f"{name}.ckpt"), weights_only=True)


def different(one, other):
    """The parts in which the ends of two runs differ by a bit or more."""
    ends = [checkpoint(run) for run in (one, other)]
    parts = ["state_dict", "optimizer_states", "lr_schedulers", "global_step"]
    files = [Path("runs", run, "metrics.csv").read_text() for run in (one, other)]
    found = [part for part in parts if not same(ends[0][part], ends[1][part])]
    return found + (["metrics.csv"] if files[0] != files[1] else [])


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def largest_difference(one, other):
    """Between the weights of two checkpoints."""
    weights = [checkpoint["state_dict"] for checkpoint in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    return max((weights[0][name].double() - weights[1][name].double()).abs().max().item() for name in weights[0])


def stop_at(batch, signum):
    """Send this process a signal when it begins its training batch of this number, counted from 0."""
    begun = []
    begin = LastCheckpoint.on_train_batch_start

    def counted(self, trainer, *arguments):
        begun.append(trainer.global_step)
        if len(begun) == batch + 1:
            os.kill(os.getpid(), signum)
        begin(self, trainer, *arguments)

    LastCheckpoint.on_train_batch_start = counted


def answer(request):
    """What a child does; returns its exit code."""
    try:
        if "code" in request:
            exec(request["code"], globals())
        else:
            if request["stop"]:
                stop_at(*request["stop"])
            sys.argv = ["lit-project", *request["args"]]
            main(request["args"])
    except SystemExit as ended:
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def fork(request, rank, processes, port, file):
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    if processes > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank), NODE_RANK="0")
        os.environ["WORLD_SIZE"] = str(processes)
        os.environ["LIT_PROJECT_RUN"] = request["args"][request["args"].index("--run") + 1]
    code = answer(request)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def carry_out(request):
    processes = request.get("processes", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as file:
        children = [fork(request, rank, processes, port, file) for rank in range(processes)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        file.seek(0)
        return {"code": max(codes, key=abs), "printed": file.read().decode(errors="replace")}


if __name__ == "__main__":
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), file=answers, flush=True)
