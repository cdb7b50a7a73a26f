"""Write the pages of docs/reference/ that only a project's own environment knows: its commands and its settings.

    python3 tools/uv.py run python tools/reference.py             # makes the environment of a project, in build/
    python3 tools/uv.py run python tools/reference.py --python P  # with the Python of one that is there

They are committed, because the site is built without torch. tests/test_docs.py compares them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/reference"
TASKS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["task"]
WRITTEN = "<!-- Written by tools/reference.py. -->"
PARTS = ("model", "data", "trainer")
STAGES = ("fit", "validate", "test", "predict")
WORDS = {"string": "text", "boolean": "true or false", "object": "settings", "array": "list"}
INTRO = """# Settings

Each setting is a line of `configs/default.yaml`, or of a file that `--config` names, and a flag:
`--model.network.width 32`. If a setting is given twice, the later one wins. `lit-project schema` writes all of this
page for an editor, which then completes and checks such files.

## The file of each task { data-search-exclude }

<!-- insert defaults -->"""
DIFFERS = "default by task"
TRAINER = "Arguments of Lightning's Trainer, with its own words, defaults and types."
# Runs in the environment of projects, in one process, which imports the libraries once: of the first one the help of
# all commands and the schema of all settings; of the others that of their own Model and DataModule.
ASK = """
import contextlib, io, json, sys
from importlib import import_module
from pathlib import Path

def help_of(*words):
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        import_module("lit_project.__main__").main([*words, "--help"])
    return printed.getvalue()

def all_settings(name):
    return import_module(f"{name}.engine.command.schema").of_settings(import_module(f"{name}.__main__").project())

def own_settings(name):
    parts = import_module(f"{name}.__main__").project().load_parts()
    schema = import_module(f"{name}.engine.command.schema")
    parser = import_module(f"{name}.engine.command.mistakes").Parser()
    parser.add_lightning_class_args(parts.model, "model")
    parser.add_lightning_class_args(parts.data, "data")
    return schema.of_parts(schema.Schema(name).generate(parser))

packages = [path.parent for folder in sys.argv[1:] for path in Path(folder).glob("src/*/__main__.py")]
sys.path += [str(package.parent) for package in packages]
commands = import_module("lit_project.engine.command.dispatch").COMMANDS
helps = {command: help_of(command) for command in commands}
first, *others = [package.name for package in packages]
print(json.dumps([commands, helps, [all_settings(first), *map(own_settings, others)]]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Write docs/reference/commands.md and settings.md")
    parser.add_argument("--python", help="of an environment in which projects run; made in build/ without it")
    for name, text in pages(parser.parse_args().python).items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages(python: str | None = None) -> dict[str, str]:
    """By name: the text of each page."""
    with TemporaryDirectory() as folder:
        projects = {task: bake(Path(folder), task) for task in TASKS}
        ask = [python] if python else environment()
        # The width decides where lines of help end.
        variables = {**os.environ, "COLUMNS": "80", "PYTHONPATH": ""}
        command = [*ask, "-c", ASK, *map(str, projects.values())]
        printed = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
        commands, helps, schemas = json.loads(printed.splitlines()[-1])
        files = {task: next(project.glob("src/*/configs/default.yaml")) for task, project in projects.items()}
        values = {task: yaml.safe_load(path.read_text(encoding="utf-8")) for task, path in files.items()}
    # The folder of runs is asked for by all commands.
    settings = [name for name in schemas[0]["properties"] if name != "runs"]
    by_task = dict(zip(TASKS, schemas, strict=True))
    return {"commands.md": commands_page(commands, helps, settings), "settings.md": settings_page(by_task, values)}


def bake(folder: Path, task: str) -> Path:
    """A project of a task, named lit-project for the first one, and lit-TASK for the others."""
    name = "lit-project" if task == TASKS[0] else f"lit-{task}"
    command = [
        sys.executable,
        "-m",
        "cookiecutter",
        str(ROOT),
        "--no-input",
        "--default-config",
        "--overwrite-if-exists",
    ]
    command += ["--output-dir", str(folder), f"project_slug={name}", f"task={task}", "logger=csv"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / name


def environment() -> list[str]:
    """The words that run Python where a project runs."""
    project = bake(ROOT / "build/reference", TASKS[0])
    return [os.environ.get("UV", "uv"), "run", "--directory", str(project), "python"]


def commands_page(commands: dict[str, str], helps: dict[str, str], settings: list[str]) -> str:
    """What each command's help says, without the settings of a training, which have a page of their own."""
    table = ["| command | |", "|---|---|", *(f"| [`{name}`](#{name}) | {text} |" for name, text in commands.items())]
    parts = [
        WRITTEN,
        "# Commands",
        "\n".join(table),
        "`--traceback`, with any of them, shows where in the code an error was found.",
    ]
    for name, summary in commands.items():
        parts.append(f"## {name}\n\n{summary[0].upper()}{summary[1:]}.")
        if "--trainer.max_epochs" not in helps[name]:
            parts.append(fenced(helps[name]))
            continue
        # The summary says it already, and what Lightning says of its own is for callers from Python.
        about = "" if name in STAGES else re.search(r"\n\n(.*?\n\n)default config", helps[name], re.DOTALL)[1]
        options = re.findall(r"^  -.*\n(?:    .*\n)*", helps[name], re.MULTILINE)
        own = [entry for entry in options if first_flag(entry).partition(".")[0] not in settings]
        parts.append(fenced(f"usage: lit-project {name} [flags]\n\n{about}options:\n" + "".join(own)))
        parts.append("Its other flags are the [settings](settings.md), as in `--trainer.max_epochs 5`.")
    return "\n\n".join(parts) + "\n"


def fenced(text: str) -> str:
    printable = "".join(letter for letter in text if letter.isprintable() or letter == "\n")
    return f"```text\n{printable.rstrip()}\n```"


def first_flag(entry: str) -> str:
    """The long name of an option: of `  -c CONFIG, --config CONFIG` it is config."""
    return re.search(r"--([\w.]+)", entry)[1]


def settings_page(schemas: dict[str, Any], values: dict[str, Any]) -> str:
    """Every setting with its type, its default and its meaning: those of all tasks, and of each one its own.

    Args:
        schemas: by task, the schema of its settings.
        values: by task, what its default.yaml says.
    """
    schema, given = schemas[TASKS[0]], values[TASKS[0]]
    top = {name: part for name, part in schema["properties"].items() if not name.endswith("+")}
    model = top["model"]["properties"]
    sections = {name: class_of(part, schema) for name, part in top.items() if is_section(part)}
    plain = {name: part for name, part in top.items() if name not in (*sections, *PARTS)}
    parts = [WRITTEN, INTRO, "## Of every project", *entries(plain, given, "")]
    parts += [
        "## model",
        *entries({name: model[name] for name in model if "properties" not in model[name]}, {}, "model."),
    ]
    for task, own in schemas.items():
        parts += [f"## The task {task}", *of_task(own, values[task])]
        trainer = {name: top["trainer"]["properties"][name] for name in values[task]["trainer"]}
        parts += entries(trainer, values[task]["trainer"], "trainer.")
    for name, kind in sections.items():
        parts += [f"## {name}", f"{sentence(kind['description'])} `{name}: null` switches it off."]
        parts += entries(kind["properties"], agreed(name, values), f"{name}.")
    parts += ["## trainer", TRAINER, *entries(top["trainer"]["properties"], {}, "trainer.")]
    return "\n\n".join(parts) + "\n"


def of_task(schema: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The entries of a task's own classes, and of the arguments of others that its default.yaml sets."""
    parts = []
    for name, part in schema["properties"]["model"]["properties"].items():
        given = values["model"].get(name) or {}
        if "properties" in part:
            parts += entries(part["properties"], given, f"model.{name}.")
        elif "class_path" in given:
            known = arguments(given["class_path"], schema)
            chosen = {argument: known[argument] for argument in given["init_args"]}
            parts += entries(chosen, given["init_args"], f"model.{name}.init_args.")
    parts += entries(schema["properties"]["data"]["properties"], values["data"], "data.")
    return parts


def agreed(section: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the tasks set in a section of a callback. For what differs, a text says so."""
    of_tasks = [task.get(section) or {} for task in values.values()]
    first, *others = of_tasks
    return {
        name: value if all(other.get(name) == value for other in others) else DIFFERS for name, value in first.items()
    }


def arguments(class_path: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schemas of the arguments of a class that a configuration names."""
    kinds = (kind for part in schema["$defs"].values() for kind in part.get("anyOf", ()) if "properties" in kind)
    (found,) = (kind for kind in kinds if class_path in kind["properties"].get("class_path", {}).get("enum", ()))
    return found["properties"]["init_args"]["properties"]


def is_section(part: dict[str, Any]) -> bool:
    """Whether a setting is null, or the settings of a callback."""
    return part.get("description", "").startswith("null, or settings of ")


def class_of(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    (reference,) = (one["$ref"] for one in part["anyOf"] if "$ref" in one)
    return schema["$defs"][reference.rpartition("/")[2]]


def entries(parts: dict[str, Any], given: dict[str, Any], prefix: str) -> list[str]:
    """Of each setting: name, type, default and meaning, as an entry of a list of definitions."""
    texts = []
    for name, part in parts.items():
        if name.endswith("+"):
            continue
        value = given.get(name, part.get("default"))
        shown = "" if value is None or isinstance(value, dict) else f", default {json.dumps(value)}"
        shown = f", {DIFFERS}" if value == DIFFERS else shown
        texts.append(f"`{prefix}{name}` *{kind(part)}{shown}*\n:   {sentence(part.get('description', ''))}".rstrip())
    return texts


def kind(part: dict[str, Any]) -> str:
    """The type of a setting in words."""
    if "enum" in part:
        return " or ".join(json.dumps(choice) for choice in part["enum"])
    if "$ref" in part:
        return f"`{part['$ref'].rpartition('/')[2]}`"
    names = part.get("type", [])
    words = [WORDS.get(name, name) for name in ([names] if isinstance(names, str) else names)]
    words += [kind(one) for one in part.get("anyOf", ())]
    if part.get("type") == "array" and isinstance(part.get("items"), dict):
        words = [f"list of {kind(part['items'])}"]
    ordered = sorted(dict.fromkeys(words), key=lambda word: word == "null")
    return " or ".join(ordered) or "text"


def sentence(text: str) -> str:
    """The first paragraph of a docstring, from reStructuredText to Markdown, on one line."""
    first = re.split(r"\n\n|\n\.\. |\s*Examples?::", text)[0]
    first = re.sub(r"\s*\(default: .*?\)+|\s*\(?[Dd]efaults?:? (?:to )?``[^`]*``\)?\.?", "", " ".join(first.split()))
    first = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", first).replace("``", "`")
    first = first.replace("<", "&lt;").strip()
    ends = first if not first or first.endswith((".", "!", "?", ":")) else f"{first}."
    return ends[:1].upper() + ends[1:]


if __name__ == "__main__":
    main()
