"""Charts of one or several runs: as a picture file, or as SVG whose colours follow the page that it stands in."""

import io
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..saving.atomic import part_of
from ..saving.rows import Points, is_whole, read, read_panels

# Told apart by people who are colour-blind too: Okabe and Ito 2008, darkened where they are faint on white. The second
# one of each pair is for a dark page.
SERIES = (
    *(("#0072b2", "#5cb8ef"), ("#c85200", "#ff9152"), ("#00805d", "#34cfa0"), ("#a8457f", "#ee9cc8")),
    *(("#8a6d00", "#e8c547"), ("#5b4bb5", "#b4a7ff"), ("#35708a", "#8fd0e8"), ("#6b6b6b", "#b5b5b5")),
)
TEXT, GRID = "#24292f", "#c9d1d9"
MOST_POINTS = 400  # of a curve: more than a chart has pixels
SIZE = (5.0, 3.0)  # of a chart, in inches of 72 pixels: readable without magnification on a telephone
STYLE: Any = {
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.labelcolor": TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": TEXT,
    "text.parse_math": False,  # a name with $ in it is a name
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "svg.fonttype": "none",  # text stays text: small, and in the reader's own font
}
LEARNING_RATE = "learning rate"  # as read_panels calls it: many schedules end at zero
# Names and a style that all charts of a page would have in common, and fonts, which are those of the page.
NOT_IN_A_PAGE = re.compile(
    r"""<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>|(?<=<g) id="[^"]*"|font-family: [^;"]+;""", re.DOTALL
)
Pairs = Sequence[tuple[float, float]]
Curve = tuple[int, str, Points]  # the number of a run, the stage, and the points
Draw = Callable[[Any], None]  # draws on axes


def panels_of(runs: Sequence[Path]) -> dict[str, list[Curve]]:
    """The curves of all runs, by metric: training and validation of one metric together."""
    panels: dict[str, list[Curve]] = {}
    for number, run in enumerate(runs):
        for metric, curves in read_panels(run / "metrics.csv").items():
            panels.setdefault(metric, []).extend((number, stage, points) for stage, points in curves.items())
    return panels


def rates_of(run: Path) -> tuple[str, Pairs]:
    """What is counted, tokens where there are any, and how many a second after how many seconds of training."""
    _, rows = read(run / "throughput.csv")
    rows = [row for row in rows if is_whole(row) and row.get("seconds")]
    for unit in ("tokens", "samples"):
        if points := points_in(rows, "seconds", f"{unit}_per_second"):
            return unit, points
    return "samples", []


def points_in(rows: Sequence[Mapping[str, str]], across: str, up: str) -> list[tuple[float, float]]:
    return [(float(row[across]), float(row[up])) for row in rows if row.get(across) and row.get(up)]


def draw_curves(axes: Any, title: str, curves: Sequence[Curve], is_several: bool, names: Sequence[str] = ()) -> None:
    """One metric of one run, a colour for each stage; or of several, a colour for each run.

    Args:
        axes: what is drawn on.
        title: the metric.
        curves: of several runs, those of training are dotted if there are others.
        is_several: whether they are of several runs.
        names: of several runs, for a legend in the chart.
    """
    stages = list(dict.fromkeys(stage for _, stage, _ in curves))
    handles = {}
    for number, stage, points in curves:
        is_faint = is_several and stage == "train" and len(stages) > 1
        (line,) = axes.plot(
            *zip(*thinned(points), strict=True),
            color=colour_of(number if is_several else stages.index(stage)),
            marker="." if len(points) < 30 and not is_faint else None,
            linestyle=":" if is_faint else "-",
            linewidth=1.0 if is_faint else 1.6,
        )
        label = stage if not is_several else names[number] if names else ""
        if not is_faint or label not in handles:
            handles[label] = line
    axes.set(title=title, xlabel="optimizer step")
    if title != LEARNING_RATE and is_logarithmic([value for _, _, points in curves for _, value in points]):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    if names or (not is_several and len(stages) > 1):
        # A label that begins with _ would be left out.
        axes.legend([*handles.values()], [f" {label}" for label in handles], fontsize=9, frameon=False)


def draw_rates(axes: Any, unit: str, rates: Sequence[Pairs]) -> None:
    for number, points in enumerate(rates):
        if points:
            marker = "." if len(points) < 30 else None
            axes.plot(*zip(*thinned(points), strict=True), color=colour_of(number), marker=marker)
    axes.set(title=f"{unit} per second", xlabel="seconds of training")
    axes.set_ylim(bottom=0)


def draw_residuals(axes: Any, predictions: Sequence[float], residuals: Sequence[float]) -> None:
    """What is left between target and prediction: around zero all the way, where nothing more can be learnt."""
    axes.axhline(0, color=TEXT, linewidth=0.8)
    draw_dots(axes, predictions, residuals)
    axes.set(title="residuals", xlabel="prediction", ylabel="target - prediction")


def draw_against(axes: Any, targets: Sequence[float], predictions: Sequence[float]) -> None:
    """Predictions over targets, with the line on which all would be right."""
    axes.axline((targets[0], targets[0]), slope=1, color=TEXT, linewidth=0.8)
    draw_dots(axes, targets, predictions)
    axes.set(title="predicted against true", xlabel="target", ylabel="prediction")


def draw_dots(axes: Any, across: Sequence[float], up: Sequence[float]) -> None:
    step = math.ceil(len(across) / (4 * MOST_POINTS))
    dots = {"markersize": 5, "alpha": 0.75, "markeredgewidth": 0}
    axes.plot(across[::step], up[::step], "o", color=colour_of(0), **dots)


def colour_of(number: int) -> str:
    return SERIES[number % len(SERIES)][0]


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values fall over two powers of ten, as losses do."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > 100


def thinned(points: Pairs) -> Pairs:
    """As many points as can be seen: of each stretch of a long curve, the lowest and the highest."""
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for first in range(0, len(points), size):
        stretch = points[first : first + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def save_picture(draws: Sequence[Draw], path: Path) -> None:
    """Charts side by side as one picture; its format follows the ending of its name."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = min(len(draws), 3)
    rows = math.ceil(len(draws) / columns)
    part = part_of(path)
    with rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0] * columns, 1.2 * SIZE[1] * rows), layout="constrained")
        places = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, draw in zip(places, draws, strict=False):
            draw(axes)
        for axes in places[len(draws) :]:
            axes.set_axis_off()
        figure.savefig(part, dpi=120, format=path.suffix[1:].lower())
    os.replace(part, path)


def svg_of(draw: Draw, title: str) -> str:
    """A chart as an element of a page: no scripts, no addresses, and colours that are variables of the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    text = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set_title("")  # it stands above the chart, as text of the page
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    svg = re.sub(r"\s*\n\s*", " ", NOT_IN_A_PAGE.sub("", svg))
    # Hundredths of a pixel are enough for what is drawn.
    svg = re.sub(r' d="[^"]*"', lambda drawn: re.sub(r"(\.\d\d)\d+", r"\1", drawn[0]), svg)
    for number, (colour, _) in enumerate(SERIES):
        svg = svg.replace(colour, f"var(--series-{number})")
    svg = svg.replace(TEXT, "var(--text)").replace(GRID, "var(--grid)")
    box = re.search(r'viewBox="[^"]+"', svg)
    opening = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
    return opening + svg[svg.index(">") + 1 :]
