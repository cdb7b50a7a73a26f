"""Whether a sweep finds better settings than the default ones: on validation, and on test with five seeds each.

    python3 benchmarks/tuned.py              # from the template's folder: bakes, searches, trains and tests

The sweep is `tune` of the task vision, as it is shipped. It chooses by validation alone; both settings are then trained
with seeds of their own, on the same split of the data, and each training is tested once.
"""

import json
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from report import bake, cost, python_of, table, where

SEEDS = range(5)
METRICS = ("val/loss", "test/loss", "test/accuracy")
RUN = "from lit_project.__main__ import main\nfor command in {commands}: main(command)"


def values_of(run: Path) -> dict[str, float]:
    """The best validation and the test of a run, by the names of their metrics."""
    kept = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return {**json.loads((run / "test.json").read_text(encoding="utf-8")), **kept["metrics"]}


def statistics_of(project: Path) -> ModuleType:
    """The project's own file of statistics, without the rest of it, which this Python may be unable to import."""
    spec = spec_from_file_location("interval", project / "src/lit_project/engine/search/statistics.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    project = bake("tuned-vision", task="vision", logger="csv")
    python = python_of(project, "sweep")
    estimate = statistics_of(project).estimate
    seconds = cost([python, "-m", "lit_project", "sweep", "tune"], project).seconds
    trials = json.loads((project / "runs/tune/trials.json").read_text(encoding="utf-8"))["trials"]
    states = Counter(trial["state"] for trial in trials)
    best = min((trial for trial in trials if trial["state"] == "complete"), key=lambda trial: trial["value"])
    configs = {"default": [], "tuned": ["--config", f"runs/tune/{best['number']:03}/config.yaml"]}
    rows = []
    for name, config in configs.items():
        runs = [f"{name}-{seed}" for seed in SEEDS]
        fits = [["fit", *config, "--run", run, "--seed_everything", run[-1]] for run in runs]
        commands = [*fits, *(["test", "--run", run] for run in runs)]
        cost([python, "-c", RUN.format(commands=commands)], project)
        measured = [values_of(project / "runs" / run) for run in runs]
        for metric in METRICS:
            mean, deviation, low, high = estimate([values[metric] for values in measured])
            rows.append([metric, name, f"{mean:.4f}", f"{deviation:.4f}", f"{low:.4f} to {high:.4f}"])
    told = ", ".join(f"{number} {state}" for state, number in states.items())
    print(f"{where()}. The sweep: {told}, {seconds:.0f} s of processor time.")
    print(f"Trial {best['number']:03}, val/loss {best['value']:.4f}: {best['values']}\n")
    print(table(["metric", "settings", "mean", "deviation", "95% interval of the mean"], sorted(rows, key=by_metric)))


def by_metric(row: list[str]) -> int:
    return METRICS.index(row[0])


if __name__ == "__main__":
    main()
