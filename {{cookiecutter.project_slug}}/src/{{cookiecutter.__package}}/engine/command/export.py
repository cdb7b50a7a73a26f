"""The command `export`."""

import argparse
import importlib.util
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning

from ..errors import RunError
from ..saving.atomic import new_folder, write_text
from ..saving.runs import Runs
from ..saving.secrets import masked
from . import manifest
from .arguments import FlagParser, refuse_contradictions, split_run_flags
from .caller import unchanged_torch
from .log_lines import without_irrelevant_messages
from .project import Project

FOLDER = "export"
SIGNATURE = "signature.json"
# By format: the file, and the packages that write and check it.
FORMATS = {
    "onnx": ("model.onnx", ("onnx", "onnxscript", "onnxruntime")),
    "pt2": ("model.pt2", ()),
    "safetensors": ("model.safetensors", ("safetensors",)),
}


def main(args: list[str], project: Project) -> None:
    """Export a trained model with its preprocessing to runs/NAME/export.

    It is checked before it gets there: for 1, 2 and 7 inputs, each file has to answer as the model does in Lightning.
    """
    began = time.time()
    parser = FlagParser(prog=f"{project.program} export", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("--format", nargs="+", action="extend", choices=FORMATS, help="by default all of them")
    for flag, text in (
        ("--run", "name of the run's folder; the newest run by default"),
        ("--runs", "folder in which all runs lie"),
        ("--ckpt_path", "best, last or a checkpoint in a run's folder; best by default"),
    ):
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text)
    run_flags, rest = split_run_flags(args[1:], project)
    refuse_contradictions(run_flags, "export")
    formats = list(dict.fromkeys(parser.parse_args(rest).format or FORMATS))
    refuse_missing_packages(formats, project)
    runs = Runs(run_flags.runs, project.variable("RUN"))
    run = runs.trained(run_flags.run, run_flags.ckpt_path)
    if run is None:
        raise RunError(f"there is no run yet in {runs.folder.resolve()}", f"{project.program} fit")
    refuse_other_folder(run / FOLDER)
    export(run, run_flags.ckpt_path, formats, project)
    manifest.add_command(run, project.program, shlex.join([project.program, *masked(args)]), began)


def refuse_missing_packages(formats: list[str], project: Project) -> None:
    for name in formats:
        missing = [package for package in FORMATS[name][1] if importlib.util.find_spec(package) is None]
        if missing:
            hint = f"uv run --extra export {project.program} export, or --format with another one"
            raise RunError(f"--format {name} needs {' and '.join(missing)}, not installed here", hint)


def refuse_other_folder(folder: Path) -> None:
    if folder.exists() and not (folder / SIGNATURE).is_file():
        raise RunError(f"{folder} exists and is no export, so nothing is written there", "move it")


@unchanged_torch()
@without_irrelevant_messages()
def export(run: Path, ckpt_path: str | None, formats: list[str], project: Project) -> None:
    """Write all files into a folder beside, check them, and move it to its place; print how far they agree."""
    from ..saving import checkpoints, exported
    from .load import SETTINGS, load
    from .model_card import measured, model_card, shown
    from .older import code_in_front
    from .strangers import refuse_links

    refuse_links(run)
    path = checkpoints.find(run, ckpt_path)
    loaded = load(path, project)
    examples = exported.examples_of(samples_of(loaded.ready.data))
    answers = exported.answers_to(loaded.ready, examples)
    writers: dict[str, Callable[..., None]] = {
        "onnx": exported.write_onnx,
        "pt2": exported.write_pt2,
        "safetensors": exported.write_safetensors,
    }
    readers: dict[str, Callable[[Path], exported.Answering]] = {
        "onnx": exported.read_onnx,
        "pt2": exported.read_pt2,
        "safetensors": lambda file: load(file.parent, project).ready,
    }
    metrics = measured(run, path)
    signature = exported.signature(examples, answers)
    with new_folder(run / FOLDER, replaces=True) as folder:
        write_text(folder / SETTINGS, yaml.safe_dump({**loaded.settings, "code": code_in_front()}, sort_keys=False))
        write_text(folder / SIGNATURE, json.dumps(signature, indent=2) + "\n")
        write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        agreement = {}
        for name in formats:
            file = folder / FORMATS[name][0]
            writers[name](loaded.ready, examples, file)
            agreement[name] = exported.differences(name, readers[name](file), examples, answers)
        write_text(folder / "README.md", model_card(loaded, run, project, signature, metrics, agreement))
    print("Largest difference to the model in Lightning, as a share of its largest answer:")
    print(f"{'format':13}" + "".join(f"{f'batch of {size}':>12}" for size in exported.BATCH_SIZES))
    for name, differences in agreement.items():
        print(f"{name:13}" + "".join(f"{shown(difference):>12}" for difference in differences.values()))
    for kind in exported.other_floats(checkpoints.read(path)["state_dict"], loaded.ready):
        print(f"\nWeights:     {kind} in the checkpoint, float32 in the export")
    print(f"\nCheckpoint:  {loaded.path}\nExported:    {(run / FOLDER).resolve()}")


def samples_of(data: Any) -> Any:
    from ..saving.ready import in_one_line

    if not hasattr(data, "examples"):
        hint = "a method examples() there, which returns some inputs as users have them: tensors, in a list"
        raise RunError("data.py gives no examples of raw inputs, with which an export is described and checked", hint)
    with in_one_line("examples() in data.py failed, for which neither prepare_data nor setup is called"):
        return data.examples()
