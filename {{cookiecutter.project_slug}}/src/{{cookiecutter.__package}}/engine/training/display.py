"""Where the progress of a command is shown: as a bar in a terminal, as lines elsewhere."""

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column


@dataclass
class Status:
    """How far a command is.

    Attributes:
        places: what is done, as "epoch 3.20 of 30" and "step 83 of 780".
        done: the fraction that is done, if it is known.
        values: metrics of the training, as they are now.
        measured: what a validation has just measured.
        rates: how fast it goes, as "1,240 samples/s"; empty if that is not known yet.
        left: seconds until the end, if they are known.
    """

    places: list[str]
    done: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    rates: list[str] = field(default_factory=list)
    left: float | None = None

    def time_left(self) -> list[str]:
        return [] if self.left is None else [f"{duration(self.left)} left"]


class Display(Protocol):
    def show(self, status: Status) -> None: ...

    def close(self) -> None: ...


class Lines:
    """Whole lines, without control characters, for a log file."""

    def __init__(self, theme: RichProgressBarTheme) -> None:
        self.format = theme.metrics_format

    def show(self, status: Status) -> None:
        metrics = listed(status.values | status.measured, self.format)
        groups = [status.places, metrics, [*status.rates, *status.time_left()]]
        texts = [text for group in groups if (text := ", ".join(group))]
        say(f"{time.strftime('%H:%M:%S')} {' | '.join(texts)}")

    def close(self) -> None:
        pass


class Bar:
    """One line of a terminal, which is drawn again and again. What does not fit is left out."""

    def __init__(self, theme: RichProgressBarTheme, leave: bool, console_kwargs: dict[str, Any] | None) -> None:
        self.theme = theme
        self.leave = leave
        self.console_kwargs = console_kwargs or {}
        self.measured: dict[str, float] = {}
        self.progress: Progress | None = None

    def show(self, status: Status) -> None:
        if self.progress is None:
            self.progress = self._start()
        place = next((place for place in reversed(status.places) if " of " in place), status.places[-1])
        self.measured = status.measured or self.measured
        values, measured = (listed(metrics, self.theme.metrics_format) for metrics in (status.values, self.measured))
        width = self.progress.console.width
        self.bar.bar_width = min(16, width // 8)
        room = width - cell_len(place) - self.bar.bar_width - 2  # one space beside each column
        self.progress.update(
            self.progress.task_ids[0],
            description=place,
            completed=status.done or 0.0,
            total=None if status.done is None else 1.0,
            text=fitted([*values, *status.rates[:1], *status.time_left(), *status.rates[1:], *measured], room),
            visible=True,
        )
        self.progress.refresh()

    def close(self) -> None:
        if self.progress:
            self.progress.stop()
        self.progress = None

    def _start(self) -> Progress:
        theme = self.theme
        styles = (theme.progress_bar, theme.progress_bar, theme.progress_bar_finished, theme.progress_bar_pulse)
        self.bar = BarColumn(None, *styles)
        progress = Progress(
            TextColumn("{task.description}", theme.description, markup=False, table_column=Column(no_wrap=True)),
            self.bar,
            TextColumn("{task.fields[text]}", theme.metrics, markup=False, table_column=Column(no_wrap=True)),
            console=Console(**self.console_kwargs),
            auto_refresh=False,  # no thread that would draw while a step computes
            transient=not self.leave,
        )
        progress.start()
        progress.add_task("", visible=False, text="")
        return progress


def say(line: str) -> None:
    """Print a line if there is room for it: a full disk under a log file is not worth a training."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def is_terminal() -> bool:
    """Whether the standard output is a screen on which a line can be drawn again."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def listed(values: dict[str, float], metrics_format: str) -> list[str]:
    """As "val/loss 0.9853", losses first."""
    names = sorted(values, key=lambda name: "loss" not in name)
    return [f"{name} {values[name]:{metrics_format}}" for name in names]


def fitted(parts: list[str], room: int) -> str:
    """The parts for which there is room, from the first one on, which is cut if need be."""
    text = parts[0] if parts else ""
    for part in parts[1:]:
        if cell_len(f"{text}, {part}") <= room:  # half a number would be another one
            text = f"{text}, {part}"
    return set_cell_size(text, max(room, 0))


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 26:05:00."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
