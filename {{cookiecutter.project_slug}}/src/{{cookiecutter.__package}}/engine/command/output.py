"""Standard output and standard error: each line at once, in any locale, and also without a reader (`fit | head -1`)."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Lasting:
    """A stream that goes nowhere once its reader has ended, where Python would raise BrokenPipeError."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._without_reader():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._without_reader():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _without_reader(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is buffered goes there too
            os.close(nowhere)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Write all that is printed meanwhile; OSError if that is not possible, as on a full disk."""
    streams = sys.stdout, sys.stderr
    with in_whole_lines(sys.stdout):
        sys.stdout, sys.stderr = (stream and Lasting(stream) for stream in streams)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                if stream:
                    stream.flush()
            sys.stdout, sys.stderr = streams


@contextlib.contextmanager
def in_whole_lines(stream: TextIO) -> Iterator[None]:
    """Have a stream write each line at once, where a log file would get them in blocks."""
    if not isinstance(stream, io.TextIOWrapper):  # none at all, or a notebook's
        yield
        return
    line_buffering, errors = stream.line_buffering, stream.errors
    stream.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(line_buffering=line_buffering, errors=errors)
