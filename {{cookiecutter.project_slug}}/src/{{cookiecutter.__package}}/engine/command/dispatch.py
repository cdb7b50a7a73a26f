"""Run one command, and turn what goes wrong into a line and an exit code. Imports no torch until a command needs it."""

import errno
import os
import signal
import sys

from ..errors import Finished, RunError, Stopped
from .arguments import naming
from .log_lines import write_at_once
from .project import Project

# By command: what the help says of it.
COMMANDS = {
    "fit": "train, or go on with a training",
    "validate": "measure a trained model on the validation data",
    "test": "measure a trained model on the test data",
    "predict": "answer for the test data, in predictions.pt",
    "merge": "make one file of a checkpoint in shards",
    "memory": "estimate what a training needs on each device",
}


def run(args: list[str] | None, project: Project) -> None:
    """Run one command.

    Args:
        args: the command and its flags; those of `sys.argv` unless given.
        project: what the files in front hand to the engine.

    Raises:
        SystemExit: with code 2, after a line on the standard error and perhaps one with what to try, for what the
            user can mend; with 130, 138 or 143 when the command was stopped by SIGINT, SIGUSR1 or SIGTERM.
    """
    args = sys.argv[1:] if args is None else args
    write_at_once()
    try:
        dispatch(args, project)
    except RunError as error:
        # From a loader's worker, torch hands it on with a traceback, whose last line it is.
        message = str(error).rpartition("RunError: ")[2]
        sys.exit(report_error(project.program, message, error.hint))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"no space is left on the disk: {error.filename}; free some, and the same command goes on"
        sys.exit(report_error(project.program, message))
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


def dispatch(args: list[str], project: Project) -> None:
    command = args[0] if args else "nothing"
    if command in ("-h", "--help"):
        print(usage(project))
        return
    if command not in COMMANDS:
        raise RunError(f"expected one of {', '.join(COMMANDS)}, got {command}", f"{project.program} --help")
    # Lightning uses features that jsonargparse will remove; users can do nothing about it.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    if command == "merge":
        from .merge import main
    elif command == "memory":
        from .memory import main
    else:
        from .stages import main
    main(args, project)


def usage(project: Project) -> str:
    lines = [f"usage: {project.program} COMMAND [flags]", "", "commands:"]
    lines += [f"  {command:10}{text}" for command, text in COMMANDS.items()]
    return "\n".join([*lines, "", f"{project.program} COMMAND --help lists the flags of a command."])


def report_error(program: str, message: str, hint: str = "") -> int:
    """Print what is wrong in one line, and in another what to try; return the exit code."""
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
    if hint:
        print(f"{program}: try: {hint}", file=sys.stderr)
    return 2
