"""Configuration files: read as what they are, or refused with the line that is wrong."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning

from ..errors import RunError

MERGE = "tag:yaml.org,2002:merge"  # `<<`, which may stand there more than once
# Aliases of aliases can make of a few lines more than any memory holds.
MOST_VALUES = 100_000


def read(path: Path) -> dict[str, Any]:
    """The settings in a file; none if it is empty.

    Raises:
        RunError: if it cannot be read, is no YAML in UTF-8, holds a key twice, or holds no settings.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise RunError(f"{path} holds no settings", "lines such as `trainer:`, with `  max_epochs: 5` below it")
        if count(node, path, {}) > MOST_VALUES:
            raise RunError(f"{path} has more than {MOST_VALUES} values once its aliases are followed")
        settings: dict[str, Any] = yaml.safe_load(text)
        return settings
    except OSError as error:
        raise RunError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is no text in UTF-8", "save it as UTF-8") from error
    except RecursionError as error:
        raise RunError(f"{path} is nested too deeply for a configuration") from error
    except yaml.YAMLError as error:
        raise RunError(f"{path}{place_and_problem(error)}") from error


def read_all_in(args: list[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without configurations that are empty, and all settings that they hold, by flag or by key."""
    words = iter(zip(args, [*args[1:], ""], strict=False))
    kept: list[str] = []
    typed: dict[str, str] = {}
    for arg, following in words:
        flag, equals, value = arg.partition("=")
        if flag not in ("--config", "-c"):
            kept.append(arg)
            if flag.startswith("--"):
                typed[flag[2:]] = value if equals else following
            continue
        file = value if equals else following
        if not equals:
            next(words, None)
        if not file:
            raise RunError(f"{flag} names no file", f"{flag} FILE")
        if settings := read(Path(file)):
            kept.append(f"{flag}={file}")
            typed |= flat(settings)
    return kept, typed


def count(node: yaml.Node, path: Path, counted: dict[int, int]) -> int:
    """How many values there are below a node of the file, each alias counted as what it stands for.

    Args:
        node: a value with all that is in it.
        path: the file.
        counted: the numbers of the nodes that have been seen, by their ids; 0 for those that are being counted.

    Raises:
        RunError: for a key that is there twice, a value that holds itself, or a tag that would make an object.
    """
    line = node.start_mark.line + 1
    if node.tag not in yaml.SafeLoader.yaml_constructors and node.tag != MERGE:
        raise RunError(f"{path}, line {line}: a configuration may not hold {node.tag}")
    if counted.get(id(node), 1) == 0:
        raise RunError(f"{path}, line {line}: a value holds itself")
    if id(node) not in counted:
        counted[id(node)] = 0
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            refuse_twice(node, path)
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        counted[id(node)] = 1 + sum(count(part, path, counted) for part in parts)
    return counted[id(node)]


def refuse_twice(node: yaml.MappingNode, path: Path) -> None:
    """Raise RunError for a key that is there twice: YAML's readers take the last one without a word."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
            if key.value in lines:
                raise RunError(f"{path}, line {line}: {key.value} is there already, in line {lines[key.value]}")
            lines[key.value] = line


def place_and_problem(error: yaml.YAMLError) -> str:
    """Where a file stops being YAML, and why: `, line 3: found a tab...`."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is no text"
    return f"{f', line {mark.line + 1}' if mark else ''}: {problem}"


def flat(settings: dict[str, Any], above: str = "") -> dict[str, str]:
    """Each value that is no section, by its key with dots: {"trainer.max_epochs": "5"}."""
    values: dict[str, str] = {}
    for key, value in settings.items():
        values |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": str(value)}
    return values
