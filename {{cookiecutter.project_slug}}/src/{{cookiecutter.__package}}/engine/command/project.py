"""Project: what the files in front hand to the engine."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # importing torch takes seconds, which commands without it need not wait for
    import pytorch_lightning as pl


class Parts(NamedTuple):
    """The classes of a project.

    Args:
        model: a LightningModule; its arguments are the section `model` of the configuration.
        data: a LightningDataModule; its arguments are the section `data`.
    """

    model: "type[pl.LightningModule]"
    data: "type[pl.LightningDataModule]"


@dataclass(frozen=True)
class Project:
    """A project as the engine sees it.

    Args:
        package: the name of the package.
        configs: the folder with default.yaml and presets/.
        load_parts: imports the project's parts; called by the commands that need torch.
        callbacks: callbacks of the caller's own, for each training, validation, test and prediction.
        to_start: how another process of a command starts, from how Lightning would start it; None for Lightning's way.
    """

    package: str
    configs: Path
    load_parts: Callable[[], Parts]
    callbacks: "Sequence[pl.Callback]" = ()
    to_start: Callable[[Callable[[], Sequence[str]]], Sequence[str]] | None = None

    @property
    def program(self) -> str:
        """The name of the installed command."""
        return self.package.replace("_", "-")

    @property
    def folder(self) -> Path:
        """The folder of the package."""
        return self.configs.parent

    @property
    def default_config(self) -> Path:
        return self.configs / "default.yaml"

    @cached_property
    def presets(self) -> dict[str, Path]:
        """The packaged presets: {name: file}."""
        return {path.stem: path for path in sorted(self.configs.glob("presets/*.yaml"))}

    @cached_property
    def sweeps(self) -> dict[str, Path]:
        """The packaged sweeps, in the same way."""
        return {path.stem: path for path in sorted(self.configs.glob("sweeps/*.yaml"))}

    def variable(self, name: str) -> str:
        """The name of one of this project's environment variables, which begin with the package's name."""
        return f"{self.package.upper()}_{name}"

    def environment(self, name: str) -> str | None:
        """The value of one of this project's environment variables; None if it is empty or not set."""
        return os.environ.get(self.variable(name)) or None
