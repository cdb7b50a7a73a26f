"""How fast a command goes: what it has done in which time, its rate lately, and the time that is left."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from .samples import size_of

RATE_SECONDS = 2.0  # the shortest time over which a rate is shown


class Work(NamedTuple):
    """Batches that are done, with the samples and tokens in them, and the seconds that they took."""

    batches: int = 0
    samples: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def __add__(self, more: "Work") -> "Work":  # type: ignore[override] # a tuple's would append
        batches, samples, tokens = self.batches + more.batches, self.samples + more.samples, self.tokens + more.tokens
        return Work(batches, samples, tokens, self.seconds + more.seconds)

    def after(self, earlier: "Work") -> "Work":
        """What has been done since an earlier look."""
        return self + Work(-earlier.batches, -earlier.samples, -earlier.tokens, -earlier.seconds)

    def in_each_of(self, processes: int) -> "Work":
        """The work of several processes with as many samples each."""
        return self._replace(samples=self.samples * processes, tokens=self.tokens * processes)

    def rates(self) -> dict[str, float]:
        """Samples and tokens per second, where there are any, by the name of a metric."""
        done = {"samples_per_second": self.samples, "tokens_per_second": self.tokens}
        return {name: count / self.seconds for name, count in done.items() if count and self.seconds > 0}


class Meter:
    """Counts the batches of this process, and the time that they take. The clock can be stopped in between.

    Attributes:
        has_begun: whether the first batch is done, which is not counted: it may compile or load first.
        is_running: whether the clock runs.
    """

    def __init__(self) -> None:
        self.has_begun = self.is_running = False
        self._batches = self._samples = self._tokens = 0
        self._seconds = self._since = 0.0

    def count(self, batch: Any) -> None:
        """Count a batch that is done, but for the first one."""
        if not self.is_running:
            self.go_on()
            return
        self._batches += 1
        samples, tokens = size_of(batch)
        self._samples += samples
        self._tokens += tokens

    def go_on(self) -> None:
        self.has_begun = self.is_running = True
        self._since = time.monotonic()

    def pause(self) -> None:
        """Stop the clock, as for a validation, until go_on."""
        if self.is_running:
            self._seconds += time.monotonic() - self._since
        self.is_running = False

    def work(self) -> Work:
        running = time.monotonic() - self._since if self.is_running else 0.0
        return Work(self._batches, self._samples, self._tokens, self._seconds + running)


class Pace:
    """What is shown of a meter: the rate since the last look, and the time that is left.

    Args:
        meter: counts the work of this process.
        processes: how many processes have batches like those that are counted.
        done: the fraction that was done before, if it is known.
        utilisation: the MFU of some work of all processes, where that is known.
    """

    def __init__(
        self,
        meter: Meter,
        processes: int,
        done: float | None,
        utilisation: Callable[[Work], float | None] = lambda work: None,
    ) -> None:
        self.meter = meter
        self.processes = processes
        self.utilisation = utilisation
        self._started, self._done_before = time.monotonic(), done
        self._looks = deque([meter.work()])

    def rates(self) -> list[str]:
        """Such as ["1,240 samples/s"], since the last look that is long enough ago; empty if nothing is counted yet."""
        now = self.meter.work()
        while len(self._looks) > 1 and now.seconds - self._looks[1].seconds >= RATE_SECONDS:
            self._looks.popleft()
        work = now.after(self._looks[0]).in_each_of(self.processes)
        self._looks.append(now)
        return told(work, self.utilisation(work))

    def left(self, done: float | None) -> list[float]:
        """Seconds until all is done, if it goes on as it has since the start; nothing if that is not known yet."""
        if done is None or self._done_before is None or done <= self._done_before:
            return []
        return [(time.monotonic() - self._started) * max(1 - done, 0.0) / (done - self._done_before)]


def told(work: Work, mfu: float | None) -> list[str]:
    """The rate of some work as ["1,240 samples/s"], or in tokens where there are any, and the MFU as "MFU 41%"."""
    if not work.batches or work.seconds <= 0:
        return []
    counts = {"tokens": work.tokens, "samples": work.samples, "batches": work.batches}
    unit, count = next((unit, count) for unit, count in counts.items() if count)
    rate = count / work.seconds
    return [f"{rate:,.0f} {unit}/s" if rate >= 100 else f"{rate:.3g} {unit}/s", *([f"MFU {mfu:.0%}"] if mfu else [])]
