"""Promote the chosen variants: variants/OPTION/ANSWER/... becomes ..., the other variants go.

Where the project was baked before, with other answers, their files go too, but for those that somebody has edited.
"""

import os
import sys

# Python looks first into the folder of its script: here that for temporary files, where anybody may put a json.py.
sys.path = [folder for folder in sys.path if folder != os.path.dirname(__file__)]

import contextlib
import json
import shutil
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")


def files_of(variant: Path) -> dict[Path, Path]:
    """Each file of a variant, by its place in the project."""
    return {path.relative_to(variant): path for path in variant.rglob("*") if path.is_file()}


def promote(variant: Path) -> set[Path]:
    """Move a variant's files to their places, and return those."""
    files = files_of(variant)
    for target, source in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    return set(files)


def remove_earlier(variant: Path, promoted: set[Path]) -> None:
    """Remove what an earlier bake has left of a variant that is not chosen now."""
    for target, source in files_of(variant).items():
        if target not in promoted and target.is_file() and target.read_bytes() == source.read_bytes():
            target.unlink()
            with contextlib.suppress(OSError):  # other files are there
                os.removedirs(target.parent)


options = list(Path("variants").iterdir())
promoted = set().union(*(promote(option / ANSWERS[option.name]) for option in options))
for variant in Path("variants").glob("*/*"):
    remove_earlier(variant, promoted)
shutil.rmtree("variants")

if "_output_dir" in ANSWERS:  # not under cruft, which also bakes to compare and prints a patch
    slug = ANSWERS["project_slug"]
    print(f"""Next: cd {slug} && git init
      uv run {slug} fit    (or: pip install -e . && {slug} fit)
      uv run pytest    (checks before each commit: uv run pre-commit install)""")
