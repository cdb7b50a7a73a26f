"""Signals that ask a training to stop: noted when they come, obeyed when the training is ready to save."""

import os
import signal
import threading
from types import FrameType
from typing import Any

# SLURM's batch script asks for SIGUSR1 before the time is up; Windows does not know it.
STOPPING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))


class SignalWatch:
    """Takes over from Lightning, whose handlers raise in the middle of a step and communicate from within.

    Attributes:
        received: the number of the signal that came, 0 if none did.
    """

    def __init__(self) -> None:
        self.received = 0
        self._handlers_before: dict[int, Any] = {}

    def start(self) -> None:
        """Watch from now on.

        May be called again, because Lightning installs its own handlers on the way; `stop` puts back those that were
        there before the first call.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets no other thread do it
        watched = [signum for signum in STOPPING if signal.getsignal(signum) != signal.SIG_IGN]
        before: dict[int, Any] = {signum: signal.signal(signum, self._receive) for signum in watched}
        self._handlers_before = self._handlers_before or before

    def stop(self) -> None:
        """Put the handlers back that were there before the first start."""
        for signum, handler in self._handlers_before.items():
            signal.signal(signum, handler)
        self._handlers_before = {}

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.received:  # the second signal does not wait
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.received = signum
