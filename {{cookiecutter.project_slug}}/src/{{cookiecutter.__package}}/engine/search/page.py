"""A page in one file: HTML without scripts, without addresses, and with nothing in it that anybody else has written.

Each function takes text as it is and returns Markup, in which it is escaped.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from .charts import GRID, SERIES, TEXT

LARGEST_PICTURE = 2**20  # bytes
# Nothing is fetched and nothing runs, whatever a browser takes the text of the page for.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
COLOURS = {  # of a light page, and of a dark one
    "text": (TEXT, "#e6edf3"),
    "grid": (GRID, "#3d444d"),
    "muted": ("#57606a", "#9aa4ae"),
    "page": ("#ffffff", "#0d1117"),
    "card": ("#f6f8fa", "#161b22"),
    **{f"series-{number}": pair for number, pair in enumerate(SERIES)},
}
STYLE = """
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem clamp(.8rem, 3vw, 2.5rem) 4rem; max-width: 82rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0 .2rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; padding-top: 1.2rem; border-top: 1px solid var(--grid) }
h3 { font-size: 1rem; margin: 0 0 .4rem; overflow-wrap: anywhere }
.wide + h3 { margin-top: 1.4rem }
p { margin: .3rem 0; max-width: 70ch }
.muted { color: var(--muted); font-size: .9rem }
small { display: block; color: var(--muted); font-size: .85rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1.2rem 0 }
.tile { background: var(--card); border: 1px solid var(--grid); border-radius: .5rem; padding: .7rem .8rem;
  min-width: 0 }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere }
.tile span { color: var(--muted); font-size: .85rem; overflow-wrap: anywhere }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.2rem }
* + .charts, .wide + .wide { margin-top: 1rem }
figure { margin: 0; min-width: 0; max-width: 36rem }
figcaption { color: var(--muted); font-size: .85rem }
svg { display: block; width: 100%; height: auto }
svg * { stroke-linejoin: round }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
img { max-width: 100%; border-radius: .3rem; background: #fff; padding: .3rem }
.wide { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--grid); vertical-align: top }
th { font-weight: 600 }
td { overflow-wrap: break-word; max-width: 44rem }
td:first-child { white-space: nowrap; max-width: 60vw; overflow: hidden; text-overflow: ellipsis }
td.n, th.n { text-align: right; white-space: nowrap }
td + td.n, th + th.n { padding-left: .4rem }
.matrix td, .matrix th { padding: .25rem .1rem; min-width: 1.7rem; text-align: center; border: 1px solid var(--page) }
.matrix td { background: color-mix(in srgb, var(--series-0) var(--share, 0%), transparent) }
.bar { display: block; height: .5rem; background: var(--series-0); border-radius: 2px; min-width: 1px }
td.bars { width: 30%; min-width: 4rem; vertical-align: middle }
.bars table { width: 100% }
.bars td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 9rem }
pre { background: var(--card); border: 1px solid var(--grid); border-radius: .4rem; padding: .7rem .8rem;
  margin: .5rem 0; font: .85rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 28rem; overflow-y: auto }
.command span { display: inline-block; max-width: 100% }
td:not(:first-child) code { display: inline-block; min-width: 10rem }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere }
details { margin: .8rem 0 }
summary { cursor: pointer; color: var(--series-0) }
.badge { display: inline-block; padding: 0 .6em; border-radius: 1em; border: 1px solid currentColor; font-size: .85rem }
.finished { color: var(--series-2) } .failed { color: var(--series-1) } .running { color: var(--series-0) }
.key { display: inline-block; width: 1em; height: .25em; border-radius: 2px; margin-right: .5em;
  vertical-align: middle }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0 0 .8rem; font-size: .9rem }
@media (max-width: 32rem) { th, td { padding-right: .5rem } table { font-size: .82rem }
  td.n, th.n { white-space: normal } }
@media print { body { max-width: none } details { display: none } }
"""


class Markup(str):
    """Text in which everything that is not markup of ours has been escaped."""


def page(title: str, parts: Iterable[Markup]) -> str:
    """A whole page, as the text of a file."""
    light, dark = ("".join(f"--{name}:{pair[place]};" for name, pair in COLOURS.items()) for place in (0, 1))
    style = f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{STYLE}"
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>\n"
    )
    return head + "\n".join(parts) + "\n</body></html>\n"


def element(tag: str, *content: object, **attributes: str) -> Markup:
    """An element with text or markup in it; `class_` is the attribute class."""
    words = "".join(f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items() if value)
    return Markup(f"<{tag}{words}>{joined(*content)}</{tag}>")


def joined(*content: object) -> Markup:
    return Markup("".join(part if isinstance(part, Markup) else escape(str(part)) for part in content))


def table(heading: Sequence[object], rows: Iterable[Sequence[object]], numbers: Iterable[int] = ()) -> Markup:
    """A table; the columns of these numbers stand at the right."""
    to_the_right = set(numbers)

    def line(tag: str, cells: Sequence[object]) -> Markup:
        kinds = ["n" if number in to_the_right else "" for number in range(len(cells))]
        return element("tr", *(element(tag, cell, class_=kind) for cell, kind in zip(cells, kinds, strict=True)))

    body = [line("th", heading)] if any(heading) else []
    return element("div", element("table", *body, *(line("td", row) for row in rows)), class_="wide")


def section(title: str, *content: Markup) -> Markup:
    """A part of the page with a heading; nothing if there is nothing in it."""
    there = [part for part in content if part]
    return element("section", element("h2", title), *there) if there else Markup()


def charts(*figures: Markup) -> Markup:
    there = [figure for figure in figures if figure]
    return element("div", *there, class_="charts") if there else Markup()


def figure(content: Markup, caption: str = "", title: str = "") -> Markup:
    heading = [element("h3", title)] if title else []
    return element("figure", *heading, content, *([element("figcaption", caption)] if caption else []))


def details(summary: str, content: Markup) -> Markup:
    """Something to be opened by whoever wants to see it."""
    return element("details", element("summary", summary), content)


def tile(title: str, value: object, below: object = "") -> Markup:
    small = [element("small", below)] if below else []
    return element("div", element("b", value), element("span", title), *small, class_="tile")


def legend(names: Sequence[str]) -> Markup:
    keys = (element("span", key(number), name) for number, name in enumerate(names))
    return element("div", *keys, class_="legend")


def key(number: int) -> Markup:
    return element("span", class_="key", style=f"background:var(--series-{number % len(SERIES)})")


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """A confusion matrix, truth by answer. Colours are square roots of shares, so that 1% does not look like none."""
    heading = element("tr", element("th", "true"), *(element("th", name) for name in names))
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(sum(row), 1)
        shades = [f"--share:{60 * (count / total) ** 0.5:.0f}%" if count else "" for count in row]
        cells = (element("td", count or "", style=shade) for count, shade in zip(row, shades, strict=True))
        rows.append(element("tr", element("th", name), *cells))
    return element("div", element("table", heading, *rows, class_="matrix"), class_="wide")


def bars(heading: Sequence[str], rows: Sequence[tuple[str, float, str]]) -> Markup:
    """A table of names with values from zero on, each as a bar and as a text."""
    most = max((value for _, value, _ in rows), default=0) or 1
    names = element("th", heading[0]), element("th"), element("th", heading[1], class_="n")
    lines = [element("tr", *names)]
    for name, value, text in rows:
        bar = element("span", class_="bar", style=f"width:{100 * max(value, 0) / most:.1f}%")
        cells = element("td", name), element("td", bar, class_="bars"), element("td", text, class_="n")
        lines.append(element("tr", *cells))
    return element("div", element("table", *lines), class_="wide bars")


def picture(path: Path, name: str) -> Markup:
    """A PNG as part of the page; nothing if it is none, or too large for a mail."""
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST_PICTURE else b""
    except OSError:
        return Markup()
    if not content.startswith(b"\x89PNG"):
        return Markup()
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return Markup(f'<img alt="{escape(name)}" src="{source}">')
