"""Processes that begin as copies of one which has imported everything: in a tenth of a second instead of seconds.

The server is a process of its own that only imports and forks: it starts no thread, touches no GPU and draws no random
number, so each copy is what a new process would be. It ends with the command that started it, whatever ends that, and
with it all copies.
"""

import gc
import json
import os
import random
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch

Run = Callable[[list[str]], None]


def serve(channel: socket.socket, run: Run) -> None:
    """Fork a process for each request that comes, until the other side is closed.

    Args:
        channel: requests are lines of JSON, with the `args` of a command, a `log` file and the `environment`. Answers
            are lines too: `reason` first, why no process can be forked, or nothing; then each `process` that was
            forked, and its `code` once it has ended.
        run: runs a command, in the new process.
    """
    answer(channel, reason=why_not())
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.collect()
    gc.freeze()  # or each copy would write into all pages, to count references
    requests = channel.makefile("r", encoding="utf-8")
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([channel.fileno(), awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
            report_ended(channel, children)
        if channel.fileno() in ready:
            line = requests.readline()
            if not line:
                end(children)
                os._exit(0)
            child = os.fork()
            if child == 0:
                for used in (awake, wake):
                    os.close(used)
                channel.close()
                requests.close()
                return begin(run, **json.loads(line))
            children.add(child)
            answer(channel, process=child)


def begin(run: Run, args: list[str], log: str, environment: dict[str, str]) -> None:
    """Become a process as a shell would have started it: with a session, an environment and an output of its own."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.update(environment)
    random.seed()  # all copies would draw the same
    np.random.seed()
    sys.argv = [sys.argv[0], *args]
    run(args)


def why_not() -> str:
    """Why this process cannot be forked safely; nothing if it can."""
    if torch.cuda.is_initialized():
        return "importing the project uses a GPU"
    if threading.active_count() > 1:
        return "importing the project starts a thread"
    return ""


def report_ended(channel: socket.socket, children: set[int]) -> None:
    for child in list(children):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            children.discard(child)
            answer(channel, process=child, code=os.waitstatus_to_exitcode(status))


def end(children: set[int]) -> None:
    """Kill children that are left, with the workers of their loaders."""
    for child in children:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)


def answer(channel: socket.socket, **message: Any) -> None:
    with suppress(OSError):  # the other side is gone, and the next request says so
        channel.sendall(json.dumps(message).encode() + b"\n")
