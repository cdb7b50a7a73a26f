"""The command `completion`: what bash needs to complete commands, flags and their values.

A script with lists of words, since asking Python at each press of the key would import torch each time.
"""

import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from pytorch_lightning.cli import LightningArgumentParser

from . import configurations, repeat
from .arguments import FlagParser
from .project import Project
from .schema import of_settings
from .settings import add_run_flags, training_parser

TAKE_SETTINGS = ("fit", "validate", "test", "predict", "memory", "bench", "repeat")
SCRIPT = """\
{function}() {{
    local words= word=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD-1]}}
    [ "$word" = = ] && word=  # for bash, --flag=value are three words
    [ "$flag" = = ] && flag=${{COMP_WORDS[COMP_CWORD-2]}}
    local settings={settings}
    case $COMP_CWORD:${{COMP_WORDS[1]}}:$flag in
    1:*) words={commands} ;;
    *:--run) COMPREPLY=($(cd {runs} 2>/dev/null && compgen -d -- "$word")); return ;;
    *:--preset) words={presets} ;;
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F {function} {program}"""


def main(args: list[str], project: Project) -> None:
    """Print a script for bash that completes commands, flags and the values that are known.

    To have it in a shell where the command is installed: source <(COMMAND completion)
    """
    parser = FlagParser(prog=f"{project.program} completion", description=main.__doc__)
    parser.parse_args(args[1:])
    print(script(project))


def script(project: Project) -> str:
    from .dispatch import COMMANDS  # which imports this file

    default = configurations.read(project.default_config)
    typed = [f"--{key}" for key in configurations.flat(default)]  # such as --model.optimizer.init_args.lr
    cases = [f"    *:--{name}) words={quoted(values)} ;;" for name, values in choices(of_settings(project))]
    for command in TAKE_SETTINGS:
        own = LightningArgumentParser()
        add_run_flags(own, project, command)
        if command == "repeat":
            repeat.add_own_flags(own)
        cases.append(f'    *:{command}:*) words="$settings "{quoted(flags_of(own))} ;;')
    return SCRIPT.format(
        function="_" + project.package,
        program=project.program,
        commands=quoted(COMMANDS),
        settings=quoted([*typed, *flags_of(training_parser(project, project.load_parts(), "fit"))]),
        presets=quoted(project.presets),
        runs=shlex.quote(str(default.get("runs") or "runs")),
        cases="\n".join(cases),
    )


def flags_of(parser: LightningArgumentParser) -> list[str]:
    return [name for action in parser._actions for name in action.option_strings if name.startswith("--")]


def choices(part: dict[str, Any], above: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each setting of a schema with values that can be listed: ("trainer.detect_anomaly", ["true", "false"])."""
    for name, one in part.get("properties", {}).items():
        kinds = one.get("anyOf", [one])
        known = [str(value) for kind in kinds for value in kind.get("enum", [])]
        known += ["true", "false"] if any("boolean" in kind.get("type", ()) for kind in kinds) else []
        if known and not name.endswith("+"):
            yield f"{above}{name}", known
        yield from choices(one, f"{above}{name}.")


def quoted(words: Iterable[str]) -> str:
    """Words as one word of a shell, each once."""
    return shlex.quote(" ".join(dict.fromkeys(words)))
