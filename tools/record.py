"""Record `make demo` in a terminal of 80 columns, as a picture that moves: docs/demo.svg.

    make recording

The demo runs in a fresh clone of this repository, so what is not committed is not in the picture. It runs twice, and
the second time is recorded, when the packages are installed. The folder of the clone, and the home of whoever records,
are shown as `~`, and long pauses are shortened, as the picture says. Nothing else is changed.

A terminal emulator (pyte) turns what is written into screens. The picture has all of them below one another, and moves
them through a window by CSS, which browsers play in an `<img>`, as on GitHub.
"""

import contextlib
import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pyte
from pyte.screens import Char

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/demo.svg"
COLUMNS, ROWS = 80, 24
LONGEST_PAUSE = 1.0  # seconds, as are the other times
FRAME = 0.1
END = 6.0
TYPING = 0.06

# In pixels: a character of a font of 14 px is 8.4 wide in most fonts with one width, and is made so in others.
WIDTH, HEIGHT, FONT, MARGIN, TITLE = 8.4, 18, 14, 16, 36
SCREEN = ROWS * HEIGHT
GROUND, TEXT, FAINT = "#161b22", "#e6edf3", "#8b949e"
COLOURS = {
    "default": TEXT,
    "black": "#484f58",
    "red": "#ff7b72",
    "green": "#3fb950",
    "brown": "#d29922",  # pyte's name of the fourth colour, yellow
    "blue": "#58a6ff",
    "magenta": "#bc8cff",
    "cyan": "#39c5cf",
    "white": "#b1bac4",
}
FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"


class Piece(NamedTuple):
    """Characters of one style, from a column on."""

    column: int
    text: str
    colour: str
    bold: bool


Row = tuple[Piece, ...]
Screen = tuple[Row, ...]


class Frame(NamedTuple):
    """What the terminal shows, and for how many seconds."""

    screen: Screen
    seconds: float


def run_in_terminal(command: list[str], folder: Path, **variables: str) -> Iterator[tuple[float, bytes]]:
    """What a command writes into a terminal of its own: the moment and the bytes of each part."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(folder)
        os.execvpe(command[0], command, {**os.environ, "TERM": "xterm-256color", **variables})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with contextlib.suppress(OSError):  # Linux raises it once the command has ended
        while written := os.read(terminal, 2**16):
            yield time.monotonic(), written
    os.close(terminal)
    if code := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        sys.exit(f"Error: {' '.join(command)} ended with {code}")


def style(char: Char) -> tuple[str, bool]:
    """Its colour, and whether it is bold; pyte names colours, or gives them in hexadecimal digits."""
    return COLOURS.get(char.fg.removeprefix("bright"), f"#{char.fg}"), char.bold


def row_of(line: dict[int, Char]) -> Row:
    """The pieces of a line of the terminal, without blanks around them."""
    cells = [(column, line[column]) for column in range(COLUMNS)]
    pieces = []
    for (colour, bold), group in groupby(cells, key=lambda cell: style(cell[1])):
        part = list(group)
        text = "".join(char.data for _, char in part)
        if text.strip():
            start = len(text) - len(text.lstrip())
            pieces.append(Piece(part[0][0] + start, text.strip(), colour, bold))
    return tuple(pieces)


def frames(command: str, parts: Iterator[tuple[float, bytes]], homes: list[Path]) -> Iterator[Frame]:
    """Screens from the moment that somebody types the command; what follows within a tenth of a second is one frame."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)

    def seen() -> Screen:
        return tuple(row_of(screen.buffer[row]) for row in range(ROWS))

    stream.feed(b"$ ")
    yield Frame(seen(), LONGEST_PAUSE)
    for letter in command:
        stream.feed(letter.encode())
        yield Frame(seen(), TYPING)
    stream.feed(b"\r\n")
    last, waiting = time.monotonic(), 0.0
    for moment, written in parts:
        waiting += min(moment - last, LONGEST_PAUSE)
        if waiting >= FRAME:
            yield Frame(seen(), waiting)
            waiting = 0.0
        last = moment
        for home in homes:
            written = written.replace(str(home).encode(), b"~")
        stream.feed(written)
    stream.feed(b"$ ")
    yield Frame(seen(), END)


def merged(shown: Iterator[Frame]) -> list[Frame]:
    """The same with frames that look alike as one."""
    groups = groupby(shown, key=lambda frame: frame.screen)
    return [Frame(screen, sum(frame.seconds for frame in group)) for screen, group in groups]


def text_of(row: Row) -> str:
    """A row as SVG: each piece has its place and width, so that the columns stay where they are in any font."""
    pieces = []
    for piece in row:
        place = f'x="{piece.column * WIDTH:.5g}" textLength="{len(piece.text) * WIDTH:.5g}"'
        weight = ' font-weight="bold"' if piece.bold else ""
        colour = "" if piece.colour == TEXT else f" fill={quoteattr(piece.colour)}"
        pieces.append(f"<text {place}{weight}{colour}>{escape(piece.text)}</text>")
    return "".join(pieces)


def strip(shown: list[Frame]) -> tuple[str, str]:
    """Each different row, drawn once; and all frames below one another, which use them."""
    different = dict.fromkeys(row for frame in shown for row in frame.screen if row)
    names = {row: f"r{number}" for number, row in enumerate(different)}
    drawn = [f'<g id="{name}">{text_of(row)}</g>' for row, name in names.items()]
    uses = []
    for number, frame in enumerate(shown):
        bottoms = {number * SCREEN + place * HEIGHT + FONT: row for place, row in enumerate(frame.screen) if row}
        uses.append("".join(f'<use href="#{names[row]}" y="{bottom}"/>' for bottom, row in bottoms.items()))
    return "\n".join(drawn), "\n".join(uses)


def moves(shown: list[Frame]) -> str:
    """When each frame is in the window, in percent of the whole time, and where the strip is then."""
    whole = sum(frame.seconds for frame in shown)
    starts = accumulate((frame.seconds for frame in shown[:-1]), initial=0.0)
    return "".join(f"{100 * start / whole:.3f}%{{{moved(number)}}}" for number, start in enumerate(starts))


def moved(number: int) -> str:
    return f"transform:translateY({-number * SCREEN}px)"


def picture(shown: list[Frame], title: str) -> str:
    """An SVG that plays the frames again and again, or shows the last one to those who want nothing to move."""
    drawn, uses = strip(shown)
    width, height = COLUMNS * WIDTH + 2 * MARGIN, SCREEN + TITLE + MARGIN
    circles = "".join(f'<circle cx="{x}" cy="18" r="5" fill="{FAINT}"/>' for x in (18, 36, 54))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}" \
role="img" fill="{TEXT}">
<title>{escape(title)}</title>
<style>
text{{font:{FONT}px {FONTS};white-space:pre}}
.strip{{animation:play {sum(frame.seconds for frame in shown):.2f}s step-end infinite}}
@keyframes play{{{moves(shown)}}}
@media (prefers-reduced-motion:reduce){{.strip{{animation:none;{moved(len(shown) - 1)}}}}}
</style>
<defs>
{drawn}
</defs>
<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>
{circles}
<text x="{width - MARGIN:g}" y="23" text-anchor="end" fill="{FAINT}">{escape(title)}</text>
<svg x="{MARGIN}" y="{TITLE}" width="{COLUMNS * WIDTH:g}" height="{SCREEN}"><g class="strip">
{uses}
</g></svg>
</svg>
"""


def demo() -> list[Frame]:
    """What `make demo` shows in a clone where it ran before."""
    # Not those of the `make` and the `uv` that run this file.
    variables = {"WANDB_MODE": "offline", "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": "", "MAKEFLAGS": "", "MAKELEVEL": "0"}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "lit-template"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)
        for _ in run_in_terminal(["make", "demo"], folder, **variables):
            pass
        shutil.rmtree(folder / "build/lit-project/runs")
        parts = run_in_terminal(["make", "demo"], folder, **variables)
        return merged(frames("make demo", parts, [Path(home), Path.home()]))


def main() -> None:
    shown = demo()
    title = f"a real run, packages installed; pauses cut to {LONGEST_PAUSE:g} s"
    PICTURE.write_text(picture(shown, title), encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {len(shown)} frames, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
