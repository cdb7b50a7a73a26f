"""The settings of a training: what `fit` can be told, by flags and in files."""

import inspect
from typing import Any

import pytorch_lightning as pl
from jsonargparse import SUPPRESS, ActionConfigFile
from pytorch_lightning.cli import LightningArgumentParser

from ..saving.tables import FORMATS
from ..training.callbacks import SECTIONS
from ..training.loggers import NAMES
from . import registry  # noqa: F401 - jsonargparse finds a class by its short name once it is imported
from .mistakes import Parser
from .project import Parts, Project


def parser_settings(project: Project) -> dict[str, Any]:
    return {"default_config_files": [str(project.default_config)], "allow_abbrev": False}


def folder_flags(project: Project, parts: Parts) -> list[str]:
    """The data's folder on this machine, for a DataModule that has an argument `folder`."""
    folder = project.environment("DATA")
    has_folder = "folder" in inspect.signature(parts.data).parameters
    return ["--data.folder", folder] if folder and has_folder else []


def add_run_flags(parser: LightningArgumentParser, project: Project, stage: str) -> None:
    """For the help. They are taken from the command line before; in a configuration they are refused."""
    parser.add_argument("--run", type=str | None, default=SUPPRESS, help="Name of the run's folder")
    parser.add_argument("--fresh", action="store_true", default=SUPPRESS, help="Start over beside a run that exists")
    text = "Show where in the code an error was found"
    parser.add_argument("--traceback", action="store_true", default=SUPPRESS, help=text)
    presets = ", ".join(project.presets) or "none yet"
    parser.add_argument("--preset", type=str | None, default=SUPPRESS, help=f"Packaged settings: {presets}")
    if stage == "fit":
        text = "A run or a file with whose weights the training begins"
        parser.add_argument("--init_from", type=str | None, default=SUPPRESS, help=text)
        text = "With --init_from: load the weights that fit, and list the others"
        parser.add_argument("--init_partial", action="store_true", default=SUPPRESS, help=text)
    if stage == "predict":
        add_question_flags(parser)


def add_question_flags(parser: LightningArgumentParser) -> None:
    """For the help too."""
    text = "A file or a folder to predict in place of the test data: what data.py's read_inputs takes"
    parser.add_argument("--input", type=str | None, default=SUPPRESS, help=text)
    text = f"With --input: where the answers go, {', '.join(FORMATS)}; predictions.csv in the run's folder without"
    parser.add_argument("--output", type=str | None, default=SUPPRESS, help=text)
    parser.add_argument("--overwrite", action="store_true", default=SUPPRESS, help="Replace an output that is there")
    text = "A text to continue, for a model that can: what data.py's continuation takes"
    parser.add_argument("--prompt", type=str | None, default=SUPPRESS, help=text)
    parser.add_argument("--length", type=int, default=SUPPRESS, help="With --prompt: how much to add; 200 without")
    text = "With --prompt: 0 for the likeliest, 1 as the model says, which is what it is without"
    parser.add_argument("--temperature", type=float, default=SUPPRESS, help=text)


def add_sections(parser: LightningArgumentParser) -> None:
    parser.add_argument("--runs", default="runs", help="Folder in which all runs lie")
    loggers = f"Where metrics go beside metrics.csv: {', '.join(NAMES)}, or a list of them"
    parser.add_argument("--logger", type=list[str] | str, default="csv", help=loggers)
    text = "false: each step is Lightning's, as slow as it is; the weights are the same"
    parser.add_argument("--short_steps", type=bool, default=True, help=text)
    for section, kind in SECTIONS.items():
        parser.add_argument(f"--{section}", type=kind | None, help=f"null, or settings of {kind.__name__}")


def training_parser(project: Project, parts: Parts, command: str) -> Parser:
    """A parser for a command that looks at the settings of a training and starts none."""
    parser = Parser(prog=f"{project.program} {command}", **parser_settings(project))
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="Path to a configuration file")
    parser.add_argument("--seed_everything", type=bool | int, default=True, help="A seed, or true for any")
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.add_lightning_class_args(parts.model, "model")
    parser.add_lightning_class_args(parts.data, "data")
    add_sections(parser)
    return parser
