"""The pictures of an evaluation. Each function returns the figure and its axes, as torchmetrics' `plot` does.

They draw on axes that they are given, or make a figure that is large enough for what is in it.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .worst import Mistake, visible

Columns = dict[str, Sequence[Any]]  # a table: what is in each column, by its name
MOST_ROWS = 30  # whose names a picture has room for
MOST_POINTS = 2000  # above which points would hide each other
ROW = 0.22  # the height of a row with a name, in inches


def plot_confusion(counts: Tensor, axes: Any = None) -> Any:
    """A confusion matrix, (classes, classes), truth by answer; of many classes, the most frequent mistakes."""
    return plot_mistakes(counts, axes) if len(counts) > MOST_ROWS else plot_counts(counts, axes)


def plot_counts(counts: Tensor, axes: Any) -> Any:
    from matplotlib.colors import PowerNorm

    side = min(2.5 + 0.45 * len(counts), 9)
    axes = axes or new_axes(side + 1, side)
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)  # so that rare classes are seen as well
    # The square root of a share: 1% has a tenth of the colour, and does not look like none.
    image = axes.imshow(shares.numpy(), cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    axes.figure.colorbar(image, label="share of the true class", shrink=0.8)
    ticks = range(len(counts))
    axes.set(xticks=ticks, yticks=ticks, xlabel="predicted class", ylabel="true class")
    for row, column in counts.nonzero().tolist():
        colour = "white" if shares[row, column] > 0.3 else "black"
        axes.text(column, row, int(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    return axes.figure, axes


def plot_mistakes(counts: Tensor, axes: Any) -> Any:
    mistakes = counts.clone().fill_diagonal_(0)
    most, places = mistakes.flatten().topk(MOST_ROWS)
    pairs = [divmod(place, len(counts)) for place in places[most > 0].tolist()]
    names = [f"{truth} as {answer}" for truth, answer in pairs]
    axes = plot_bars(names, [int(mistakes[pair]) for pair in pairs], axes)
    axes.set(xlabel="samples", ylabel="true class, and as which it is predicted")
    add_title(axes, len(pairs), int((mistakes > 0).sum()), "mistakes", "most samples")
    return axes.figure, axes


def plot_classes(columns: Columns, axes: Any = None) -> Any:
    """Precision, recall and F1 by class, from the lowest F1 on."""
    order = sorted(range(len(columns["class"])), key=lambda number: nan_first(columns["f1"][number]))
    shown = order[:MOST_ROWS][::-1]
    rows = range(len(shown))
    axes = axes or new_axes(6, 1.8 + ROW * len(shown))
    markers = {"precision": ("<", "tab:blue"), "recall": (">", "tab:orange"), "f1": (".", "black")}
    for name, (marker, colour) in markers.items():
        values = [columns[name][number] for number in shown]
        axes.plot(values, rows, marker, color=colour, label=name.replace("f1", "F1"), alpha=0.8)
    labels = [f"{columns['class'][number]} ({columns['samples'][number]})" for number in shown]
    axes.set(yticks=rows, yticklabels=labels, xlabel="share", ylabel="class (samples)")
    # At least a tenth wide, so that small differences look small.
    axes.set(xlim=(math.floor(10 * axes.get_xlim()[0]) / 10, 1.01), ylim=(-0.6, len(shown) - 0.4))
    add_title(axes, len(shown), len(order), "classes", "lowest F1")
    axes.grid(alpha=0.3)
    axes.figure.legend(loc="outside lower center", ncols=3)
    return axes.figure, axes


def plot_residuals(rows: Tensor, of: str, axes: Any = None) -> Any:
    """(samples, 3): target, prediction and residual."""
    _, predictions, left = rows.numpy().T
    axes = axes or new_axes(6, 4)
    axes.axhline(0, color="black", linewidth=0.8)
    if len(rows) > MOST_POINTS:
        cells = axes.hexbin(predictions, left, gridsize=50, bins="log", mincnt=1)
        axes.figure.colorbar(cells, label="samples")
    else:
        axes.plot(predictions, left, "o", markersize=4, alpha=0.6, markeredgewidth=0)
    axes.set(xlabel=f"predicted {of}", ylabel="target - prediction")
    axes.grid(alpha=0.3)
    return axes.figure, axes


def plot_groups(columns: Columns, kind: str) -> Any:
    """The first metric of each group, or of those at the top of the table."""
    metric = list(columns)[2]  # behind the name and the number of samples
    names, values = ([*columns[name][:MOST_ROWS]] for name in (kind, metric))
    axes = plot_bars([shortened(str(name)) for name in names], values)
    axes.set(xlabel=metric.replace("_", " "), ylabel=kind)
    add_title(axes, len(names), len(columns[kind]), f"{kind}s", "highest loss")
    return axes.figure, axes


def plot_worst(mistakes: Sequence[Mistake]) -> Any:
    """The pictures with their true class and the predicted one, the highest loss first."""
    from matplotlib.figure import Figure

    columns = min(len(mistakes), 4)
    rows = math.ceil(len(mistakes) / columns)
    figure = Figure(figsize=(1.2 * columns, 1.6 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in places:
        axes.set_axis_off()
    for axes, mistake in zip(places, mistakes, strict=False):
        axes.imshow(visible(mistake.picture).numpy(), cmap="gray", interpolation="nearest")
        axes.set_title(f"{mistake.target} as {mistake.answer}\nloss {mistake.loss:.2g}", fontsize="small")
    return figure, places


def plot_bars(names: list[str], values: list[float], axes: Any = None) -> Any:
    """Bars from the top down; returns the axes."""
    axes = axes or new_axes(6, 1.2 + ROW * len(names))
    rows = range(len(names))
    axes.barh(rows, values, alpha=0.7)
    axes.set(yticks=rows, yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    axes.grid(axis="x", alpha=0.3)
    return axes


def new_axes(width: float, height: float) -> Any:
    """The axes of a new figure of so many inches."""
    from matplotlib.figure import Figure  # not pyplot's, which would show it in a notebook

    return Figure(figsize=(width, height), layout="constrained").subplots()


def add_title(axes: Any, shown: int, there: int, what: str, which: str) -> None:
    """Say which rows are shown, if they are not all."""
    if shown < there:
        axes.set_title(f"the {shown} {what} of {there} with the {which}", fontsize="medium")


def nan_first(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def shortened(name: str, most: int = 40) -> str:
    """A name of at most so many letters; its end tells most."""
    return name if len(name) <= most else f"...{name[3 - most :]}"
