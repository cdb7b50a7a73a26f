"""Run one command, and turn what goes wrong into a line and an exit code. Imports no torch until a command needs it."""

import errno
import os
import signal
import sys
import traceback
from dataclasses import replace
from importlib import import_module

from ..errors import Finished, RunError, Stopped
from ..search.assignment import VARIABLE as ASSIGNMENT
from . import configurations, other_processes
from .arguments import expand_presets, naming
from .caller import unchanged_process
from .output import lasting_output
from .project import Project
from .tracebacks import is_of_engine, own_line

# By command: what the help says of it.
COMMANDS = {
    "fit": "train, or go on with a training",
    "validate": "measure a trained model on the validation data",
    "test": "measure a trained model on the test data",
    "predict": "answer for the test data, or for a file with --input",
    "export": "write a trained model as ONNX, pt2 and safetensors",
    "runs": "list all runs, with what they reached and the settings in which they differ",
    "compare": "compare runs: settings, metrics, and their curves in a picture",
    "report": "write a page about a run, or about several compared",
    "sweep": "search settings for the best value of a metric",
    "repeat": "train with several seeds or folds, for means with their intervals",
    "bench": "measure where the time of a training step goes",
    "memory": "estimate what a training needs on each device",
    "merge": "make one file of a checkpoint in shards",
    "schema": "describe all settings for an editor",
    "completion": "print what bash needs to complete commands and flags",
}
STAGES = ("fit", "validate", "test", "predict")  # the Trainer's; each other command has a module of its own
TRACEBACK = "--traceback"
HELP = f"{TRACEBACK}, with any of them, shows where in the code an error was found."


def run(args: list[str] | None, project: Project) -> None:
    """Run one command.

    Args:
        args: the command and its flags; those of `sys.argv` unless given.
        project: what the files in front hand to the engine.

    Raises:
        SystemExit: with code 2, after a line on the standard error and perhaps one with what to try, for what the
            user can mend; with 130, 138 or 143 when the command was stopped by SIGINT, SIGUSR1 or SIGTERM.
    """
    call = next(other_processes.calls)
    taking_part = other_processes.call_to_take_part_in(project)
    if taking_part and call < taking_part:
        return  # the first process has run it
    if taking_part and call > taking_part:
        sys.exit()  # after a call that has failed, if the script goes on
    if args is not None:
        project = replace(project, to_start=other_processes.to_start(project, args))
    args = sys.argv[1:] if args is None else args
    with unchanged_process():
        other_processes.announce(project, call)
        run_command(args, project)
    if taking_part:
        sys.exit()  # what follows in a script is for the first process alone


def run_command(args: list[str], project: Project) -> None:
    shows_all = TRACEBACK in args or project.environment("TRACEBACK") is not None
    args = [arg for arg in args if arg != TRACEBACK]
    try:
        with lasting_output():
            dispatch(args, project)
    except (RunError, OSError) as error:
        if isinstance(error, OSError) and not (error.errno == errno.ENOSPC or is_of_engine(error, project.folder)):
            end_with_own_line(error, project)
            raise
        if shows_all:
            traceback.print_exc()
        # From a loader's worker, torch hands it on with a traceback, whose last line it is.
        message = in_words(error) if isinstance(error, OSError) else str(error).rpartition("RunError: ")[2]
        sys.exit(report_error(project.program, message, getattr(error, "hint", "")))
    except Finished as nothing_to_do:
        print(nothing_to_do)
    except Stopped as stopped:
        if stopped.is_first_process:
            print(f"{stopped}\nGo on with: {project.program} fit {naming(stopped.run, project)}")
        sys.exit(128 + stopped.signum)
    except (KeyboardInterrupt, SystemExit) as ended:
        # Lightning makes 1 of an interruption before the training, or in validate, test and predict.
        if isinstance(ended, SystemExit) and not isinstance(ended.__context__, KeyboardInterrupt):
            raise
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        end_with_own_line(error, project)
        raise


def dispatch(args: list[str], project: Project) -> None:
    command = args[0] if args else "nothing"
    if command in ("-h", "--help"):
        print(usage(project))
        return
    if command not in COMMANDS:
        raise RunError(f"expected one of {', '.join(COMMANDS)}, got {command}", f"{project.program} --help")
    # Lightning uses features that jsonargparse will remove; users can do nothing about it.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    if command in ("memory", "bench"):
        args = [command, *expand_presets(args[1:], project.presets)]
        configurations.read_all_in(args)  # what is wrong with them is told before torch is imported
    if command in STAGES and project.environment(ASSIGNMENT):
        command = "assigned"
    if command in STAGES:
        from .choice import choose

        chosen = choose(args, project)  # here too
        from .stages import run_stage

        run_stage(chosen, args, project)
    else:
        import_module(f".{command}", __package__).main(args, project)


def in_words(error: OSError) -> str:
    """What a file or a folder has prevented."""
    if error.errno == errno.ENOSPC:
        place = f"on the disk: {error.filename}" if error.filename else "where standard output goes"
        return f"no space is left {place}; free some, and the same command goes on"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def end_with_own_line(error: Exception, project: Project) -> None:
    """Have the traceback end with the team's own line: below it there may be a hundred of libraries."""
    line = own_line(error, project.folder)
    if line and sys.version_info >= (3, 11):
        error.add_note(f"{project.program}: in {line}")


def usage(project: Project) -> str:
    lines = [f"usage: {project.program} COMMAND [flags]", "", "commands:"]
    lines += [f"  {command:12}{text}" for command, text in COMMANDS.items()]
    return "\n".join([*lines, "", f"{project.program} COMMAND --help lists the flags of a command.", HELP])


def report_error(program: str, message: str, hint: str = "") -> int:
    """Print what is wrong in one line, and in another what to try; return the exit code."""
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
    if hint:
        print(f"{program}: try: {hint}", file=sys.stderr)
    return 2
