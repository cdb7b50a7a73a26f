"""Where this package's own files meet the engine. The installed command and `python -m` start here."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .engine.command.dispatch import run
from .engine.command.project import Parts, Project

if TYPE_CHECKING:
    from pytorch_lightning import Callback


def main(args: list[str] | None = None, callbacks: Sequence["Callback"] = ()) -> None:
    """Run one command, such as `fit --trainer.max_epochs 5`.

    Args:
        args: the command and its flags; those of the command line unless given.
        callbacks: callbacks of your own, beside those of the configuration.

    Raises:
        SystemExit: if the command fails, or is stopped by a signal; with 2 and a line on the standard error for what
            you can mend.
    """
    run(args, project(callbacks))


def project(callbacks: Sequence["Callback"] = ()) -> Project:
    return Project(str(__package__), Path(__file__).parent / "configs", load_parts, callbacks)


def load_parts() -> Parts:
    # Imported when a command needs them: importing torch takes seconds, and `--help` does without.
    from .data import DataModule
    from .model import Model

    return Parts(Model, DataModule)


if __name__ == "__main__":
    main()
