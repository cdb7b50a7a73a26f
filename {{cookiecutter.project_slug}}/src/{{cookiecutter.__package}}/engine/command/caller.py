"""The process in which a command runs may be a script, a notebook or a test: it finds everything as it was before."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Put back what a command changes in its process: the environment, handlers of signals and errors, the folder."""
    environment, folder, hook = dict(os.environ), working_folder(), sys.excepthook
    handlers: dict[int, Any] = {signum: signal.getsignal(signum) for signum in SIGNALS}
    try:
        yield
    finally:
        for name in os.environ.keys() | environment:
            if name not in environment:
                del os.environ[name]
            elif os.environ.get(name) != environment[name]:
                os.environ[name] = environment[name]
        sys.excepthook = hook  # W&B's outlasts its run
        if folder and working_folder() != folder:
            os.chdir(folder)
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do it
            for signum, handler in handlers.items():
                if handler is not None and signal.getsignal(signum) != handler:
                    signal.signal(signum, handler)


def working_folder() -> str | None:
    """Where this process is; None if that folder has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


@contextmanager
def unchanged_torch() -> Iterator[None]:
    """Put back what a command changes in torch and in the random generators, which seeds and Trainer settings do."""
    import torch

    from ..training.random_streams import get_state, set_state

    generators = get_state()
    on_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    dtype, threads, precision = torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision()
    benchmark, cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, cudnn
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)
        set_state(generators)
