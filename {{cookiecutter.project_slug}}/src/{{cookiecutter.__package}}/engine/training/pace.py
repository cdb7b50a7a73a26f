"""How fast a command goes: samples per second, and the time that is left."""

import time
from typing import Any

from .samples import tensors_of

RATE_SECONDS = 2.0  # the shortest time over which a rate is measured


class Pace:
    """Counts the samples of batches, and the time they take.

    Args:
        processes: how many processes have batches like those that are counted here.
        done: the fraction that was done before, if it is known.
    """

    def __init__(self, processes: int, done: float | None) -> None:
        self.processes = processes
        self._started, self._done_before = time.monotonic(), done
        self._samples = 0
        self._unit = "samples"
        self._seconds = 0.0
        self._since: float | None = None
        self._rate = ""

    def count(self, batch: Any) -> None:
        """Count a batch that is done; the first one only starts the clock, since it may compile or load first."""
        if self._since is None:
            self._since = time.monotonic()
            return
        samples = next(map(len, tensors_of(batch)), 0)
        if not samples:
            samples, self._unit = 1, "batches"
        self._samples += samples

    def pause(self) -> None:
        """Stop the clock, as for a validation, until go_on."""
        if self._since is not None:
            self._seconds += time.monotonic() - self._since
        self._since = None

    def go_on(self) -> None:
        self._since = time.monotonic()

    def rate(self) -> str:
        """Such as "1230 samples/s"; empty if nothing has been measured yet."""
        now = time.monotonic()
        seconds = self._seconds + (0.0 if self._since is None else now - self._since)
        if self._samples and (seconds >= RATE_SECONDS or not self._rate):
            rate = self._samples * self.processes / max(seconds, 1e-9)
            self._rate = f"{rate:.0f} {self._unit}/s" if rate >= 100 else f"{rate:.3g} {self._unit}/s"
            self._samples, self._seconds = 0, 0.0
            self._since = None if self._since is None else now
        return self._rate

    def left(self, done: float | None) -> list[float]:
        """Seconds until all is done, if it goes on as it has since the start; nothing if that is not known yet."""
        if done is None or self._done_before is None or done <= self._done_before:
            return []
        return [(time.monotonic() - self._started) * max(1 - done, 0.0) / (done - self._done_before)]
