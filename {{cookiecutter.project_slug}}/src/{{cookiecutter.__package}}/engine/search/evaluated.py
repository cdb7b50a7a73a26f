"""What `test` or `validate` kept of a run, for a page: figures, and tables by what is in them."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..saving.rows import read
from .charts import draw_against, draw_residuals, svg_of
from .overview import number_of
from .page import Markup, bars, charts, element, figure, joined, matrix, picture, table

FIGURES = "figures.csv"
PREDICTED = "predicted "
RESIDUALS = ("target", "prediction", "residual")
MOST_ROWS, MOST_MISTAKES = 30, 10
MOST_LETTERS = 5_000
Row = dict[str, Any]
Draw = Callable[[Sequence[str], Sequence[Row], str], list[Markup]]


def evaluated(folder: Path, stage: str) -> list[Markup]:
    """The parts of a section of a page; none if nothing was measured. Each set of several has a folder of its own."""
    rows = read(folder / FIGURES)[1]
    figures = figures_table(rows, stage)
    sets = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())] if folder.is_dir() else []
    shown = [part for path in sets for part in tables_in(path, path.name if path != folder else "")]
    return [part for part in (figures, charts(*shown)) if part]


def figures_table(rows: Sequence[Row], stage: str) -> Markup:
    names = {"value": stage, "low": "95% interval", "train": "train", "val": "val"}
    cells = [
        [row.get("metric") or "", four(row, "value"), interval_of(row), four(row, "train"), four(row, "val")]
        for row in rows
    ]
    kept = [0, *(place for place in range(1, 5) if any(row[place] for row in cells))]
    heading = ["metric", *names.values()]
    lines = [[row[place] for place in kept] for row in cells]
    note = element("p", "train and val: the last that the training logged before this checkpoint", class_="muted")
    shows_training = len(kept) > 1 and kept[-1] > 2
    if not lines:
        return Markup()
    return joined(table([heading[place] for place in kept], lines, range(1, len(kept))), note if shows_training else "")


def intervals_in(folder: Path) -> dict[str, Row]:
    """The figures of a folder by the names of the metrics."""
    return {row.get("metric") or "": row for row in read(folder / FIGURES)[1]}


def interval_of(row: Row | None) -> str:
    low, high = (four(row or {}, name) for name in ("low", "high"))
    return f"{low} to {high}" if low and high else ""


def tables_in(folder: Path, name: str) -> list[Markup]:
    """What there is of one set: a chart of each table that is known by its columns, else the picture beside it."""
    shown = []
    stems = {path.stem for ending in ("csv", "png", "txt") for path in folder.glob(f"*.{ending}")}
    for stem in sorted(stems - {Path(FIGURES).stem}):
        title = " ".join(filter(None, (name, stem.replace("_", " "))))
        found = charts_of(folder / f"{stem}.csv", title)
        if not found and (image := picture(folder / f"{stem}.png", title)):
            found = [figure(image, title=title)]
        if not found and (text := text_in(folder / f"{stem}.txt")):
            found = [figure(element("pre", text), title=title)]
        shown += found
    return shown


def text_in(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MOST_LETTERS)
    except OSError:
        return ""


def charts_of(path: Path, title: str) -> list[Markup]:
    """The charts of a table; none if it is damaged, or of a kind of the team's own."""
    names, rows = read(path)
    try:
        return next((draw(names, rows, title) for fits, draw in KINDS if rows and fits(names)), [])
    except (KeyError, TypeError, ValueError):
        return []


def confusion(names: Sequence[str], rows: Sequence[Row], title: str) -> list[Markup]:
    """The matrix, unless there are too many classes for it, and the most frequent mistakes."""
    classes = [row[names[0]] for row in rows]
    counts = [[int(row[name]) for name in names[1:]] for row in rows]
    mistakes = [
        (f"{truth} as {name.removeprefix(PREDICTED)}", count)
        for truth, of_class in zip(classes, counts, strict=True)
        for name, count in zip(names[1:], of_class, strict=True)
        if count and name.removeprefix(PREDICTED) != truth
    ]
    worst = sorted(mistakes, key=lambda mistake: -mistake[1])[:MOST_MISTAKES]
    listed = bars(("true as predicted", "samples"), [(name, n, f"{n:,}") for name, n in worst])
    shown = [figure(listed, title="most frequent mistakes")] if worst else []
    if len(classes) <= MOST_ROWS:
        caption = "Rows: the true class. Columns: the predicted one. Darker: a larger share of the row."
        shown.insert(0, figure(matrix(counts, classes), caption, title))
    return shown


def classes(names: Sequence[str], rows: Sequence[Row], title: str) -> list[Markup]:
    """F1 of each class, the worst first; of a class without samples or answers, nothing is known."""
    known = [(float(row["f1"]), row) for row in rows]
    known.sort(key=lambda pair: -1 if math.isnan(pair[0]) else pair[0])
    lines = [
        (f"{row['class']} ({row['samples']})", 0 if math.isnan(f1) else f1, "-" if math.isnan(f1) else f"{f1:.3f}")
        for f1, row in known[:MOST_ROWS]
    ]
    return [figure(bars(("class (samples)", "F1"), lines), beyond(len(known), "classes", "the lowest F1"), title)]


def residuals(names: Sequence[str], rows: Sequence[Row], title: str) -> list[Markup]:
    targets, predictions, left = ([float(row[name]) for row in rows] for name in RESIDUALS)
    drawn = {
        "predicted against true": partial(draw_against, targets=targets, predictions=predictions),
        "residuals": partial(draw_residuals, predictions=predictions, residuals=left),
    }
    worst = [[four(row, name) for name in RESIDUALS] for row in rows[:MOST_MISTAKES]]
    listed = figure(table(RESIDUALS, worst, range(3)), title="largest residuals")
    return [*(figure(Markup(svg_of(draw, name)), title=name) for name, draw in drawn.items()), listed]


def groups(names: Sequence[str], rows: Sequence[Row], title: str) -> list[Markup]:
    """The first metric of each group, those with the highest loss first, as they stand in the table."""
    kind, _, metric = names[:3]
    lines = [(row[kind], float(row[metric]), four(row, metric)) for row in rows[:MOST_ROWS]]
    caption = beyond(len(rows), f"{kind}s", "the highest loss")
    return [figure(bars((kind, metric.replace("_", " ")), lines), caption, title)]


def beyond(there: int, what: str, which: str) -> str:
    return f"The {MOST_ROWS} of {there:,} {what} with {which}." if there > MOST_ROWS else ""


def four(row: Row, name: str) -> str:
    """A number of a row to four digits; "" if there is none."""
    try:
        return number_of(float(row.get(name) or ""))
    except ValueError:
        return ""


# By the columns of a table: how it is shown.
KINDS: tuple[tuple[Callable[[Sequence[str]], bool], Draw], ...] = (
    (lambda names: names[0] == "true class" and all(name.startswith(PREDICTED) for name in names[1:]), confusion),
    (lambda names: {"class", "samples", "f1"} <= set(names), classes),
    (lambda names: tuple(names) == RESIDUALS, residuals),
    (lambda names: len(names) > 2 and names[1] == "samples", groups),
)
