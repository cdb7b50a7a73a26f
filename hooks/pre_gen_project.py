"""Refuse a name that cannot be a folder, a command and a Python package, with one clear line."""

import json
import keyword
import re
import sys

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
SLUG = ANSWERS["project_slug"]
PACKAGE = ANSWERS["__package"]
# Names that the project itself imports, or that its folders have.
TAKEN = {
    "src",
    "test",
    "tests",
    "runs",
    "examples",
    "torch",
    "torchmetrics",
    "lightning",
    "pytorch_lightning",
    "lightning_fabric",
    "jsonargparse",
    "rich",
    "matplotlib",
    "sklearn",
    "numpy",
    "wandb",
    "tensorboard",
    "mlflow",
    "pytest",
    "ruff",
    "yaml",
}


def refusal() -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", SLUG) or len(SLUG) > 40:
        return "use up to 40 lower-case letters, digits and single hyphens, a letter first"
    if (
        PACKAGE in TAKEN
        or PACKAGE in sys.stdlib_module_names
        or keyword.iskeyword(PACKAGE)
        or keyword.issoftkeyword(PACKAGE)
    ):
        return f"Python or this project already uses the name {PACKAGE}"
    return ""


if reason := refusal():
    sys.exit(f"Error: project_slug {SLUG!r}: {reason}; for example lit-project")
