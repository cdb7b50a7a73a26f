"""What a trial of a sweep costs beyond its training: as a copy of the fork server, and as a process of its own.

    python3 benchmarks/sweep.py              # from the template's folder: bakes, measures, writes docs/speed.md

Counts the processor time of whole sweeps with all their processes, for two numbers of trials: what differs is the cost
of the trials between them. The same trainings, one after the other in one process, are what training alone costs.
"""

import shutil
import statistics
from pathlib import Path

from report import bake, cost, python_of, table, where, write_section

ROUNDS = 3
FEW, MANY = 2, 6
SWEEP = """
metric: val/loss
direction: minimize
trials: {trials}
sampler: RandomSampler
search:
  seed_everything: {{int: [0, 1000]}}
"""
FLAGS = ["--trainer.max_epochs=3", "--trainer.limit_train_batches=8"]
# By how trials are run: a program with {trials} of them.
PROGRAMS = {
    "in one process": "[main(['fit', '--run', f'one-{{number}}', *{flags}]) for number in range({trials})]",
    "copies of the fork server": "main(['sweep', '{trials}.yaml', *{flags}])",
    "processes of their own": "processes.HAS_FORK = False; main(['sweep', '{trials}.yaml', *{flags}])",
}
IMPORTS = "from lit_project.__main__ import main; from lit_project.engine.search import processes; "
TEXT = """\
Seconds of processor time of a trial, in turn, the median of {rounds} rounds: three short epochs of the task vision,
with validation, checkpoints and curves. {where}, by `python3 benchmarks/sweep.py`.

{table}

A copy costs {ratio:.0f} times less beyond its training than a process of its own does, which imports everything anew.
"""


def seconds_of_trial(program: str, project: Path, python: str) -> float:
    """Seconds of processor time of one trial."""
    seconds = {}
    for trials in (FEW, MANY):
        shutil.rmtree(project / "runs", ignore_errors=True)
        (project / f"{trials}.yaml").write_text(SWEEP.format(trials=trials), encoding="utf-8")
        words = IMPORTS + program.format(trials=trials, flags=FLAGS)
        seconds[trials] = cost([python, "-c", words], project).seconds
    return (seconds[MANY] - seconds[FEW]) / (MANY - FEW)


def main() -> None:
    project = bake("sweep-vision", task="vision", logger="csv")
    python = python_of(project, "sweep")
    measured: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(ROUNDS):
        for name, program in PROGRAMS.items():
            measured[name].append(seconds_of_trial(program, project, python))
    median = {name: statistics.median(seconds) for name, seconds in measured.items()}
    alone, copy, new = median.values()
    rows = [[name, f"{seconds:.2f}", f"{seconds - alone:.2f}"] for name, seconds in median.items()]
    text = table(["trials", "seconds", "beyond training"], rows)
    ratio = (new - alone) / max(copy - alone, 0.01)
    write_section("A trial of a sweep", TEXT.format(rounds=ROUNDS, where=where(), table=text, ratio=ratio))


if __name__ == "__main__":
    main()
