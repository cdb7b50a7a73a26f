"""How cost grows: a loader with the samples of its dataset, and a bake with the answers of the template.

    python3 benchmarks/growth.py             # from the template's folder: bakes, measures, writes docs/speed.md

Counts processor time. Each number of samples has a process of its own, in which the loader's memory is what the
process's peak has grown by until the first batch.
"""

import filecmp
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from report import ENVIRONMENT, ROOT, bake, cost, python_of, table, where, write_section

SAMPLES = [10**power for power in range(3, 8)]
KINDS = {"tensors": "in memory (`TensorDataset`)", "mapped": "a file, memory-mapped"}
BATCH_SIZE, BATCHES, ROUNDS = 32, 3000, 5
PARTS = [".gitattributes", "cookiecutter.json", "lit_answers.py", "hooks", "templates", "{{cookiecutter.project_slug}}"]
TEXT = """\
Processor time, the median of {rounds} processes or bakes, by `python3 benchmarks/growth.py`.
{where}.

`Batches`, shuffled, in batches of {batch_size}: until the first batch, for each batch after it, and memory.

{loaders}

What grows is the order of an epoch, which is drawn with its first batch: 8 bytes a sample, and some nanoseconds.
Nothing else depends on the number of samples. A file that is memory-mapped is not read before it is asked for; while
most batches meet pages of it that nobody has read yet, as with the most samples, the system takes its time for each.

A bake of this template, to which answers are added:

{bakes}

Each bake gives the same project, file by file, so the time of its tests does not depend on answers that were not
chosen. Cookiecutter renders the files of all of them, and the hook removes those that are not wanted.
"""


def loader(kind: str, samples: int, folder: Path) -> dict[str, float]:
    """In a project: seconds until the first batch, microseconds for each other one, and MiB of memory."""
    import numpy as np
    import torch
    from lit_project.engine.training.batches import Batches
    from torch.utils.data import TensorDataset

    class Mapped:
        """Rows of a file, which holds nothing but zeros: what it costs to find a row does not depend on it."""

        def __init__(self) -> None:
            self.rows = np.memmap(folder / "rows", np.float32, "w+", shape=(samples, 8))

        def __len__(self) -> int:
            return samples

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.from_numpy(self.rows[index].copy())

        def batch(self, indices: list[int]) -> torch.Tensor:
            return torch.from_numpy(self.rows[indices])

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)

    dataset = Mapped() if kind == "mapped" else TensorDataset(torch.zeros(samples, 8))
    next(iter(Batches(TensorDataset(torch.zeros(BATCH_SIZE)), BATCH_SIZE, shuffle=True)))  # what Python imports
    before, begun = peak(), time.process_time()
    batches = Batches(dataset, BATCH_SIZE, shuffle=True)
    next(iter(batches))
    start, memory = time.process_time() - begun, peak() - before
    seconds, done = 0.0, 0
    for epoch in count():
        batches.batch_sampler.set_epoch(epoch)
        rest = iter(batches)
        next(rest)  # draws the order
        begun = time.process_time()
        for _ in rest:
            done += 1
            if done == BATCHES:
                break
        seconds += time.process_time() - begun
        if done == BATCHES:
            return {"start": start, "batch": 1e6 * seconds / BATCHES, "memory": memory}
    raise AssertionError


def loaders() -> str:
    project = bake("growth", task="vision", logger="csv")
    python, lines = python_of(project), []
    for kind, title in KINDS.items():
        for samples in SAMPLES:
            found = []
            for _ in range(ROUNDS):
                words = [python, __file__, kind, str(samples)]
                done = subprocess.run(words, cwd=project, env=ENVIRONMENT, check=True, capture_output=True)
                found.append(json.loads(done.stdout))
            middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
            figures = [f"{1e3 * middle['start']:,.1f}", f"{middle['batch']:.0f}", f"{middle['memory']:,.1f}"]
            lines.append([title, f"{samples:,}", *figures])
    return table(["dataset", "samples", "ms to the first batch", "us a batch", "MiB"], lines)


def with_more(folder: Path, option: str, answers: int) -> Path:
    """A copy of the template with more answers to a question, each a copy of its first one that has files."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    settings = json.loads((folder / "cookiecutter.json").read_text(encoding="utf-8"))
    variants = folder / "{{cookiecutter.project_slug}}/variants" / option
    first = next(answer for answer in settings[option] if (variants / answer).exists())
    for number in range(answers):
        settings[option].append(f"more-{number}")
        shutil.copytree(variants / first, variants / f"more-{number}")
    (folder / "cookiecutter.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, with the same content."""
    found = filecmp.dircmp(one, other)
    differ = found.left_only or found.right_only or found.diff_files or found.funny_files
    return not differ and all(same_files(one / name, other / name) for name in found.common_dirs)


def bakes() -> str:
    program = str(Path(python_of(ROOT)).parent / "cookiecutter")
    added = [("task", 0), ("task", 8), ("task", 32), ("logger", 8), ("logger", 32)]
    lines, first = [], None
    with tempfile.TemporaryDirectory() as name:
        for option, answers in added:
            folder = Path(name, f"{option}-{answers}")
            folder.mkdir()
            template = with_more(folder, option, answers)
            words = [program, "--no-input", "--overwrite-if-exists", "--output-dir", str(folder / "out"), str(template)]
            costs = [cost(words, folder) for _ in range(ROUNDS)]
            project = folder / "out/lit-project"
            first = first or project
            if not same_files(first, project):
                sys.exit(f"{answers} more answers to {option} change the project")
            seconds, memory = (statistics.median(values) for values in zip(*costs, strict=True))
            title = f"{answers} more answers to `{option}`" if answers else "as it is"
            lines.append([title, f"{seconds:.2f}", f"{memory:.0f}"])
    return table(["", "seconds", "MiB"], lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(loader(sys.argv[1], int(sys.argv[2]), Path(name))))
        sys.exit()
    text = TEXT.format(where=where(), rounds=ROUNDS, batch_size=BATCH_SIZE, loaders=loaders(), bakes=bakes())
    write_section("How cost grows", text)
