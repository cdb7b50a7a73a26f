"""A report on one run, or on several compared, as a page in one file."""

import os
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..saving import summary
from .charts import SERIES, Pairs, draw_curves, draw_rates, panels_of, rates_of, svg_of
from .comparison import metric_rows, settings_rows
from .conditions import as_text
from .evaluated import evaluated, interval_of, intervals_in
from .overview import columns_of, duration, number_of
from .page import Markup, charts, details, element, figure, joined, key, legend, page, section, table, tile
from .records import Record, best_of

STAGES = {"Test": "test", "Validation": "validate"}
MOST_COMPARED = len(SERIES)  # runs that are told apart by their colours
MOST_LETTERS = 60_000  # of a diff
MOST_ROWS = 200  # of a table that is opened
MOST_NAMES = 8  # of files that git does not follow


def report_on(records: Sequence[Record], project: str) -> str:
    """The page of a run, or of several, as text."""
    title = records[0].name if len(records) == 1 else f"{len(records)} runs compared"
    made = element("p", f"{project}, report of {datetime.now():%Y-%m-%d %H:%M}", class_="muted")
    body = of_one(records[0]) if len(records) == 1 else of_several(records)
    return page(f"{title}: {project}", [made, element("h1", title), *body])


def of_one(record: Record) -> list[Markup]:
    kept, manifest = summary.read(record.folder), summary.read_json(record.folder / "manifest.json")
    return [
        state_of(record),
        command_of(manifest),
        tiles(record),
        section("Curves", curves([record])),
        *(section(title, *evaluated(record.folder / stage, stage)) for title, stage in STAGES.items()),
        section("What was run", changed_settings(kept), origin(record, manifest)),
        section("Time and throughput", pace([record])),
        section("Commands that used the run since then", later_commands(manifest)),
        section("All settings", all_settings(record)),
    ]


def of_several(records: Sequence[Record]) -> list[Markup]:
    """Runs side by side; of many, a table with a line for each, and the rest of the best ones alone."""
    if len(records) <= MOST_COMPARED:
        return of_few(records)
    columns = columns_of(records)
    numbers = [place for place, column in enumerate(columns) if column.to_the_right]
    lines = table([column.name for column in columns], zip(*(column.cells for column in columns), strict=True), numbers)
    best = best_of(records, MOST_COMPARED) or records[:MOST_COMPARED]
    return [section("All runs", lines), element("h2", f"The best {len(best)}"), *of_few(best)]


def of_few(records: Sequence[Record]) -> list[Markup]:
    names = [record.name for record in records]
    heading = ["", *(joined(key(number), name) for number, name in enumerate(names))]
    settings = settings_rows(records)
    content = [
        section("Metrics", table(heading, metric_rows(records), range(1, len(heading)))),
        section("Settings that differ", table(heading, settings) if settings else element("p", "None.")),
        section("Curves", legend(names), curves(records)),
        section("Time and throughput", pace(records)),
    ]
    for record in records:
        kept, manifest = summary.read(record.folder), summary.read_json(record.folder / "manifest.json")
        about = joined(command_of(manifest), changed_settings(kept), origin(record, manifest))
        shown = (
            details(title, joined(*parts))
            for title, stage in STAGES.items()
            if (parts := evaluated(record.folder / stage, stage))
        )
        content.append(section(record.name, state_of(record), details("What was run", about), *shown))
    return content


def state_of(record: Record) -> Markup:
    state = element("span", record.state or "state unknown", class_=f"badge {record.state}")
    words = [f"started {moment(record.started)}" if record.started else "", record.reason]
    return element("p", state, " ", element("span", ", ".join(filter(None, words)), class_="muted"))


def tiles(record: Record) -> Markup:
    """The few numbers that matter most."""
    intervals = intervals_in(record.folder / "test")
    shown = [tile(name, number_of(value), interval_of(intervals.get(name))) for name, value in record.tests.items()]
    if record.metric in record.metrics:
        value = number_of(record.metrics[record.metric])
        shown.insert(0, tile(f"{record.metric}, best", value, "by which checkpoints are chosen"))
    if record.step is not None:
        epochs = "" if record.epoch is None else f"{record.epoch:,} epoch{'s' if record.epoch != 1 else ''}"
        shown.append(tile("optimizer steps", f"{record.step:,}", epochs))
    if record.seconds is not None:
        shown.append(tile("time", duration(record.seconds)))
    unit, rates = rates_of(record.folder)
    if rates:
        shown.append(tile(f"{unit} per second", f"{mean_rate(rates):,.0f}"))
    return element("div", *shown, class_="tiles") if shown else Markup()


def curves(records: Sequence[Record]) -> Markup:
    panels = panels_of([record.folder for record in records])
    several = len(records) > 1
    drawn = [
        figure(Markup(svg_of(partial(draw_curves, title=name, curves=lines, is_several=several), name)), title=name)
        for name, lines in panels.items()
    ]
    dots = element("p", "Dotted: training.", class_="muted") if several and drawn else Markup()
    return joined(charts(*drawn), dots)


def pace(records: Sequence[Record]) -> Markup:
    """How fast the trainings were, and for how long."""
    units, rates = zip(*(rates_of(record.folder) for record in records), strict=True)
    unit = max(set(units), key=units.count)
    alike = [points if its == unit else [] for its, points in zip(units, rates, strict=True)]
    heading = ["", "state", "time", "steps", f"{unit} per second"]
    rows = [
        [
            joined(key(number), record.name),
            record.state or "unknown",
            duration(record.seconds),
            "" if record.step is None else f"{record.step:,}",
            f"{mean_rate(points):,.0f}" if points else "",
        ]
        for number, (record, points) in enumerate(zip(records, alike, strict=True))
    ]
    title, chart = f"{unit} per second", partial(draw_rates, unit=unit, rates=alike)
    drawn = [figure(Markup(svg_of(chart, title)), title=title)] if any(alike) else []
    return joined(table(heading, rows, (2, 3, 4)) if len(records) > 1 else "", charts(*drawn))


def mean_rate(points: Pairs) -> float:
    """Over the whole training: each rate is that of the seconds since the one before."""
    ends = [0.0, *(seconds for seconds, _ in points)]
    spans = [after - before for before, after in pairwise(ends)]
    done = sum(span * rate for span, (_, rate) in zip(spans, points, strict=True))
    return done / ends[-1] if ends[-1] else 0.0


def command_of(manifest: dict[str, Any]) -> Markup:
    command = manifest.get("command")
    return typed(command) if isinstance(command, str) else Markup()


def typed(*commands: str) -> Markup:
    """Commands, each in a line of its own."""
    # A line may end between two words, and not behind the hyphens of a flag.
    lines = [joined(*(joined(element("span", word), " ") for word in command.split(" "))) for command in commands]
    return element("pre", Markup("\n".join(lines)), class_="command")


def changed_settings(kept: dict[str, Any]) -> Markup:
    """The settings that are not those which the project has by itself."""
    settings, defaults = kept.get("settings"), kept.get("defaults")
    if not isinstance(settings, dict) or not isinstance(defaults, dict):
        return Markup()
    if not defaults:
        return element("p", "All settings are the project's own.")
    rows = [[element("code", name), shown(settings.get(name)), shown(value)] for name, value in defaults.items()]
    return table(["setting", "value", "default"], rows[:MOST_ROWS])


def origin(record: Record, manifest: dict[str, Any]) -> Markup:
    """Commit, versions, hardware, seed and data."""
    rows = [["commit", commit_of(manifest)], ["seed", shown(manifest.get("seed"))]]
    if begun := summary.read_json(record.folder / "init_from.json"):
        rows.append(["first weights", shown(begun.get("path"))])
    for name in ("hardware", "versions"):
        part = manifest.get(name)
        if isinstance(part, dict):
            rows.append([name, ", ".join(f"{word} {as_text(value)}" for word, value in part.items())])
    data = manifest.get("data")
    for path, of_file in data.items() if isinstance(data, dict) else ():
        if isinstance(of_file, dict):
            digest = element("code", of_file.get("sha256") or "not hashed")
            size = of_file.get("bytes")
            amount = f", {size:,} bytes, SHA-256 " if isinstance(size, int) else ", "
            rows.append(["data", joined(os.path.basename(path), amount, digest)])
    diff = beginning_of(record.folder / "git.diff")
    changes = details("How files differed from the commit", element("pre", diff)) if diff else Markup()
    return joined(table(["", ""], rows), changes)


def commit_of(manifest: dict[str, Any]) -> Markup:
    git = manifest.get("git")
    if not isinstance(git, dict):
        return joined("none: not in a git repository")
    untracked = git.get("untracked")
    words = [", with changes" if git.get("dirty") else ", without changes"]
    if isinstance(untracked, list) and untracked:
        names = [str(name) for name in untracked[:MOST_NAMES]]
        words.append(f"; not followed by git: {', '.join([*names, *(['...'] if untracked[MOST_NAMES:] else [])])}")
    return joined(element("code", str(git.get("commit"))), *words)


def later_commands(manifest: dict[str, Any]) -> Markup:
    later = manifest.get("later")
    entries = [entry for entry in later if isinstance(entry, dict)] if isinstance(later, list) else []
    rows = [
        [moment(as_text(entry.get("started"))), element("code", shown(entry.get("command"))), shown(entry.get("host"))]
        for entry in entries
    ]
    return table(["when", "command", "host"], rows) if rows else Markup()


def all_settings(record: Record) -> Markup:
    if not record.settings:
        return Markup()
    rows = [[element("code", name), shown(value)] for name, value in record.settings.items()]
    return details(f"{len(rows)} settings", table(["setting", "value"], rows[: 5 * MOST_ROWS]))


def beginning_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_LETTERS)
            return f"{text}\n..." if file.read(1) else text
    except OSError:
        return ""


def shown(value: Any) -> str:
    return "-" if value is None else as_text(value)


def moment(when: str) -> str:
    """A time in ISO 8601, for people."""
    try:
        return f"{datetime.fromisoformat(when):%Y-%m-%d %H:%M}"
    except ValueError:
        return when
