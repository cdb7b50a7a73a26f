"""The command `merge`."""

from pathlib import Path

from ..errors import RunError
from .arguments import FlagParser
from .project import Project


def main(args: list[str], project: Project) -> None:
    """Make one file of a checkpoint in shards, for `predict`, `test` and whatever else reads one.

    It has the weights and plain values; the optimizer's state stays in the shards, from which a training goes on.
    """
    parser = FlagParser(prog=f"{project.program} merge", description=main.__doc__)
    parser.add_argument("checkpoint", type=Path, help="such as runs/NAME/checkpoints/best.ckpt")
    folder = parser.parse_args(args[1:]).checkpoint
    if not folder.is_dir():
        raise RunError(f"{folder} is no checkpoint in shards, which is a folder like runs/NAME/checkpoints/best.ckpt")

    from ..saving.sharded_strategy import merge  # once it is needed: it imports torch

    print(f"One file: {merge(folder)}")
