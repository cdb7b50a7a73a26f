"""What the user typed: presets are spelled out, and what is wrong is told in one line."""

import difflib
import re
import sys
from itertools import zip_longest
from pathlib import Path
from typing import NoReturn

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from .checkpoints import RunError

NAME = __package__.replace("_", "-")
CONFIGS = Path(__file__).parent / "configs"
PRESETS = {path.stem: path for path in sorted(CONFIGS.glob("presets/*.yaml"))}


class Parser(LightningArgumentParser):
    """Says what is wrong in one line, with the nearest name that exists."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        names = [name for action in parser._actions for name in action.option_strings]
        self.exit(refuse(plain(message) + nearest(message, names)))


def refuse(message: str, attempt: str = "") -> int:
    print(f"{NAME}: error: {' '.join(message.split())}", file=sys.stderr)
    if attempt:
        print(f"{NAME}: try: {attempt}", file=sys.stderr)
    return 2


def plain(message: str) -> str:
    """jsonargparse's message, with its account of all the types that were tried told in a few words."""
    if denied := re.search(r"Importing '([\w.]+)' is not allowed", message):
        return f"{denied[1]} is not among what a configuration may name: see ALLOWED in {__package__}/__init__.py"
    tried = re.search(r'Parser key "(.+?)":.*Subtypes: (.*?)\s+Errors:.*Given value: (.*)', message, re.DOTALL)
    if not tried:
        return message
    key, types, value = tried.groups()
    names = re.findall(r"[\w.]+(?=')", types)
    return f"--{key}: expected {' or '.join(names) or types}, got {value!r}"


def parse(parser: LightningArgumentParser, args: list[str]) -> Namespace:
    """The settings that the words ask for; RunError if they name what a configuration may not."""
    try:
        return parser.parse_args(args)
    except ImportError as error:  # denied: see ALLOWED in __init__.py
        raise RunError(plain(str(error))) from error


def nearest(message: str, names: list[str]) -> str:
    """A hint at the known name that is most like a word of the message, if there is one."""
    known = {name.lstrip("-"): name for name in names}
    for word in re.findall(r"\w[\w.]{2,}", message):
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.8)
        if close and word not in known:
            return f". Did you mean {known[close[0]]}?"
    return ""


def with_presets(args: list[str]) -> list[str]:
    """`--preset NAME` is short for `--config` with the packaged file of that name."""
    words = iter(args)
    expanded = []
    for word in words:
        flag, _, name = word.partition("=")
        if flag == "--preset":
            name = name or next(words, "")
            if name not in PRESETS:
                raise RunError(f"there is no preset {name!r}; choose from: {', '.join(PRESETS) or 'none'}")
            expanded += ["--config", str(PRESETS[name])]
        else:
            expanded.append(word)
    return expanded


def option(args: list[str], name: str) -> str | None:
    """The value of one option, read before the rest can be parsed."""
    for word, following in zip_longest(args, args[1:]):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None
