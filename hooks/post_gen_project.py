"""Promote the chosen variants: variants/OPTION/ANSWER/... becomes ..., the other variants go."""

import os
import sys

# Python looks first into the folder of its script: here that for temporary files, where anybody may put a json.py.
sys.path = [folder for folder in sys.path if folder != os.path.dirname(__file__)]

import json
import shutil
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")


def promote(variant: Path) -> None:
    for source in [path for path in variant.rglob("*") if path.is_file()]:
        target = source.relative_to(variant)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


for option in Path("variants").iterdir():
    promote(option / ANSWERS[option.name])
shutil.rmtree("variants")

if "_output_dir" in ANSWERS:  # not under cruft, which also bakes to compare and prints a patch
    slug = ANSWERS["project_slug"]
    print(f"""Next: cd {slug} && git init
      uv run {slug} fit    (or: pip install -e . && {slug} fit)
      uv run pytest    (checks before each commit: uv run pre-commit install)""")
