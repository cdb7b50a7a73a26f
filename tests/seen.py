"""Train, and note the numbers of the samples that each process loads: python seen.py fit [flags]."""

import sys
from pathlib import Path

from lit_project import batches
from lit_project.cli import main

load = batches.Seeded.__getitems__


def noted(self, request):
    process, _ = batches.place()
    with Path(f"seen-{process}.txt").open("a") as file:
        file.write(f"{len(self)} {' '.join(map(str, request[1]))}\n")
    return load(self, request)


batches.Seeded.__getitems__ = noted
main(sys.argv[1:])
