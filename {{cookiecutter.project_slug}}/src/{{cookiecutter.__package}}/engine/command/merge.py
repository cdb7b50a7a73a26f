"""The command `merge`."""

from pathlib import Path

from ..saving.sharded_strategy import merge
from .arguments import FlagParser
from .project import Project


def main(args: list[str], project: Project) -> None:
    """Make one file of a checkpoint in shards."""
    parser = FlagParser(prog=f"{project.program} merge", description=merge.__doc__)
    parser.add_argument("checkpoint", type=Path, help="such as runs/NAME/checkpoints/best.ckpt")
    print(f"One file: {merge(parser.parse_args(args[1:]).checkpoint)}")
