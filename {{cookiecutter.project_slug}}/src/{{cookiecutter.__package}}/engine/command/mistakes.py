"""One line for a mistake in the settings, with the nearest flag that exists."""

import difflib
import re
from typing import NoReturn

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from ..errors import RunError


class Parser(LightningArgumentParser):
    """Says what is wrong in one line, with the nearest name that exists."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        names = [name for action in parser._actions for name in action.option_strings]
        message = shorten(message)
        raise RunError(message + nearest(message, names))


def parse(parser: LightningArgumentParser, args: list[str]) -> Namespace:
    """The settings that the arguments ask for; RunError if they name what a configuration may not."""
    try:
        return parser.parse_args(args)
    except ImportError as error:  # denied: see ALLOWED in the package's __init__.py
        raise RunError(shorten(str(error))) from error
    except RunError as error:
        raise RunError(in_full(str(error), args), error.hint) from error


def shorten(message: str) -> str:
    """jsonargparse's message, with its account of all the types that it tried in a few words."""
    if denied := re.search(r"Importing '([\w.]+)' is not allowed", message):
        return f"{denied[1]} is not among what a configuration may name: see ALLOWED in the package's __init__.py"
    if simple := re.fullmatch(r'Parser key "(.+?)":\s+Expected a <class \'(.+?)\'>\. Got value: (.*)', message):
        return f"--{simple[1]}: expected {simple[2]}, got {simple[3]!r}"
    if ambiguous := re.search(r"Multiple subclasses with name (\w+)\. Give .* ambiguity: (.*)", message):
        return f"{ambiguous[1]} is the name of several classes; give the full path of one: {ambiguous[2]}"
    tried = re.search(r'Parser key "(.+?)":.*Subtypes: (.*?)\s+Errors:\s+- (.*)Given value: (.*)', message, re.DOTALL)
    if not tried:
        return message
    key, types, errors, value = tried.groups()
    # Settings of a section, which is a class or null: what the class says of them comes first.
    is_section = re.fullmatch(r"\[<class '[\w.]+'>, <class 'NoneType'>\]", types)
    if is_section and value.startswith(("NestedArg(", "Namespace(", "{")):
        return inside(key, errors.split("\n    - ")[0])
    names = re.findall(r"[\w.]+(?=')", types)
    return f"--{key}: expected {' or '.join(names) or types}, got {value!r}"


def inside(key: str, message: str) -> str:
    """A message about one of the settings below a key, in which jsonargparse leaves out the key, with flags in full."""
    if missing := re.search(r"arguments are required: (.*)", message):
        return f"--{key} is incomplete; it needs " + ", ".join(f"--{key}.{name}" for name in missing[1].split(", "))
    message = re.sub(r"Option '(.+?)' is not accepted", r"unrecognized arguments: --\1", message)
    return re.sub(r"(?<!\S)--", f"--{key}.", shorten(message))


def in_full(message: str, args: list[str]) -> str:
    """The same for a class that is no section, such as an optimizer: its key is that of the flag that was typed."""
    if unknown := re.match(r"Option '(.+?)' is not accepted", message):
        for flag in (arg.partition("=")[0] for arg in args):
            if flag.startswith("--") and flag.endswith(f".{unknown[1]}"):
                return inside(flag[2:].removesuffix(f".{unknown[1]}"), message)
    return message


def nearest(message: str, names: list[str]) -> str:
    """A hint at the flag that is most like a word of the message, if there is one and no other hint."""
    flags = {name.lstrip("-"): name for name in names}
    for word in re.findall(r"\w[\w.]{2,}", "" if "Did you mean" in message else message):
        section, dot, setting = word.partition(".")
        for one, rest in ((word, ""), (section, dot + setting)):
            close = difflib.get_close_matches(one, flags, n=1, cutoff=0.8)
            if close and word not in flags and close[0] != section:
                return f". Did you mean {flags[close[0]]}{rest}?"
    return ""
