"""README.md and metrics.json of an exported model: a model card as Hugging Face reads it, filled from the run."""

import json
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning

from ..saving import checkpoints
from . import manifest
from .load import Loaded
from .project import Project

Metrics = dict[str, dict[str, Any]]
USE = {
    "onnx": """import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
answers = session.run(None, {ARRAYS})  # NumPy arrays; for the names of the answers, see above""",
    "pt2": """import torch

model = torch.export.load("model.pt2").module()
answers = model(inputs)  # TENSORS in; {name: tensor} out""",
    "safetensors": """from PACKAGE import load  # the project, which has the network

answers = load("FOLDER")(inputs)  # TENSORS in; {name: tensor} out""",
}


def measured(run: Path, path: Path) -> Metrics:
    """What is known of a checkpoint: the metric that chose it, and what `validate` and `test` have measured of it."""
    saved = checkpoints.read(path)
    chosen = {"file": path.name, "epoch": saved.get("epoch"), "step": saved.get("global_step")}
    metrics: Metrics = {"checkpoint": chosen}
    for state in (saved.get("callbacks") or {}).values():
        if isinstance(state, dict) and Path(str(state.get("best_model_path"))).name == path.name:
            chosen[state["monitor"]] = float(state["best_model_score"])
    for stage in ("validate", "test"):
        with suppress(OSError, ValueError, TypeError, KeyError):  # missing or damaged, so that it says nothing
            kept = json.loads((run / f"{stage}.json").read_text(encoding="utf-8"))
            if kept.pop("checkpoint") == checkpoints.identity(path, run):
                metrics[stage] = kept
    return metrics


def model_card(
    loaded: Loaded,
    run: Path,
    project: Project,
    signature: dict[str, list[dict[str, Any]]],
    metrics: Metrics,
    agreement: dict[str, dict[int, float]],
) -> str:
    """The text of README.md.

    Args:
        loaded: the model, its DataModule and their settings. Their docstrings describe them.
        run: the folder of the training.
        project: what the files in front hand to the engine.
        signature: what goes in and comes out.
        metrics: what was measured.
        agreement: by format and batch size, how far the answers differ from the model's.
    """
    model, data = loaded.ready.model, loaded.ready.data
    about = {"Network": getattr(model, "network", model), "Loss": getattr(model, "objective", None), "Data": data}
    name = f"{project.program} {run.name}"
    inputs = [one["name"] for one in signature["inputs"]]
    words = {
        "PACKAGE": project.package,
        "FOLDER": str(run / "export"),
        "ARRAYS": ", ".join(f'"{one}": {one}' for one in inputs),
        "TENSORS": "a tensor" if len(inputs) == 1 else "tensors, nested as by examples() in data.py,",
    }
    parts = [
        f"---\n{yaml.safe_dump(front_matter(name, model, data, project, metrics), sort_keys=False)}---",
        f"# {name}",
        *(f"**{title}.** {paragraph(module)}" for title, module in about.items() if module is not None),
        "## Inputs and answers\n\nThe preprocessing is part of the model. Sizes with a name are free.",
        table(
            ("", "name", "dtype", "shape"),
            [(kind, one["name"], one["dtype"], shape(one)) for kind in signature for one in signature[kind]],
        ),
        "## Use",
        *(f"```python\n{filled(USE[one], words)}\n```" for one in agreement),
        "## Metrics",
        table(("measured by", "metric", "value"), flat(metrics)),
        "## Agreement\n\nLargest difference to the model in Lightning, as a share of its largest answer.",
        table(
            ("format", *(f"batch of {size}" for size in next(iter(agreement.values())))),
            [(one, *map(shown, sizes.values())) for one, sizes in agreement.items()],
        ),
        "## Training",
        origin(run),
        f"```yaml\n{yaml.safe_dump(loaded.settings, sort_keys=False)}```",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def front_matter(name: str, model: Any, data: Any, project: Project, metrics: Metrics) -> dict[str, Any]:
    """What Hugging Face's hub reads of a card."""
    task = getattr(getattr(model, "objective", model), "task", None)
    try:
        license = metadata.metadata(project.program).json.get("license_expression")
    except metadata.PackageNotFoundError:  # a project that is run from its folder
        license = None
    figures = [
        {"name": metric, "type": metric.rpartition("/")[2], "value": value}
        for metric, value in metrics.get("test", {}).items()
        if isinstance(value, int | float)
    ]
    result = {"dataset": {"name": paragraph(data).partition(".")[0], "type": project.program}, "metrics": figures}
    if task:
        result = {"task": {"type": task}, **result}
    matter = {
        "license": license and str(license).lower(),
        "library_name": "pytorch",
        "pipeline_tag": task,
        "tags": ["pytorch-lightning", project.program],
        "model-index": [{"name": name, "results": [result]}] if task and figures else None,
    }
    return {key: value for key, value in matter.items() if value}


def filled(text: str, words: dict[str, str]) -> str:
    for word, instead in words.items():
        text = text.replace(word, instead)
    return text


def paragraph(module: object) -> str:
    """The first paragraph of a class's docstring, in one line."""
    text = (type(module).__doc__ or "Not described.").split("\n\n")[0]
    return " ".join(text.split())


def shown(difference: float) -> str:
    return f"{difference:.1e}" if difference else "0"


def shape(one: dict[str, Any]) -> str:
    return f"({', '.join(map(str, one['shape']))})"


def flat(metrics: Metrics) -> list[tuple[str, str, str]]:
    rows = [(stage, name, value) for stage, named in metrics.items() for name, value in named.items()]
    return [(stage, name, f"{value:.4g}" if isinstance(value, float) else str(value)) for stage, name, value in rows]


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ("---",) * len(columns), *rows))


def origin(run: Path) -> str:
    """When, from which commit and with which versions the run was trained; nothing if its manifest is gone."""
    try:
        kept = json.loads((run / manifest.FILE).read_text(encoding="utf-8"))
        git, versions = kept.get("git") or {}, kept["versions"]
        commit = f", commit {git['commit']}{', with changes' if git.get('dirty') else ''}" if git else ""
        libraries = ", ".join(f"{package} {version}" for package, version in versions.items())
        return f"Run `{run.name}`, begun {kept['started']}{commit}, with {libraries}.\n\n    {kept['command']}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
