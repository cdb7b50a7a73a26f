"""One line for a mistake in the settings, with the nearest flag that exists."""

import difflib
import re
from typing import NoReturn

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.strategies import Strategy

from ..errors import RunError
from .class_paths import import_failure, not_allowed, reason_in

CALLABLE = r'Parser key "(.+?)":.*expects a function or a callable class: (.*)\. Got value: (\S+)'


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
        return not_allowed(denied[1])
    if simple := re.fullmatch(r'Parser key "(.+?)":\s+Expected a <class \'(.+?)\'>\. Got value: (.*)', message):
        return f"--{simple[1]}: expected {simple[2]}, got {simple[3]!r}"
    if ambiguous := re.search(r"Multiple subclasses with name (\w+)\. Give .* ambiguity: (.*)", message):
        return f"{ambiguous[1]} is the name of several classes; give the full path of one: {ambiguous[2]}"
    if no_class := re.search(CALLABLE, message, re.DOTALL):
        return f"--{no_class[1]}: {import_failure(no_class[3], no_class[2])}"
    tried = re.search(r'Parser key "(.+?)":.*Subtypes: (.*?)\s+Errors:\s+- (.*)Given value: (.*)', message, re.DOTALL)
    if not tried:
        return message
    key, types, text, value = tried.groups()
    errors = text.split("\n    - ")
    # Settings of a section, which is a class or null: what the class says of them comes first.
    is_section = re.fullmatch(r"\[<class '[\w.]+'>, <class 'NoneType'>\]", types)
    if is_section and value.startswith(("NestedArg(", "Namespace(", "{")):
        return inside(key, errors[0])
    for error in errors:
        if re.match("Option '|--|the following arguments are required", error):
            return inside(key, error)
        if reason := reason_in(error, value, types):
            return f"--{key}: {reason}"
    names = re.findall(r"[\w.]+(?=')", types)
    return f"--{key}: expected {' or '.join(names) or types}, got {value!r}"


def in_constructor(message: str) -> str:
    """What a constructor said of its arguments, without jsonargparse's account of the types that it tried to build."""
    tried = re.match(r"\s*Does not validate against any of .*?Errors:\s+- (.*)Given value: (.*)", message, re.DOTALL)
    if not tried:
        return message
    # Those before it in a list have been built, and are objects by now.
    path = re.search(r"class_path='([\w.]+)'", tried[2])
    reasons = re.split(r"\n\s+- |\n\s+Given value", tried[1])
    reason = next((one for one in reasons if not one.startswith(("Expected a ", "Not a valid "))), message)
    return f"{path[1]}: {reason}" if path else reason


def refuse_misnamed_strategy(strategy: object) -> None:
    """Raise RunError for a class path that leads to no strategy, which Lightning takes for a name of its own."""
    if isinstance(strategy, str) and "." in strategy:
        parser = Parser()
        parser.add_argument("--trainer.strategy", type=Strategy | None)
        parser.parse_args(["--trainer.strategy", strategy])


def inside(key: str, message: str) -> str:
    """A message about one of the settings below a key, in which jsonargparse leaves out the key, with flags in full."""
    if missing := re.search(r"arguments are required: (.*)", message):
        return f"--{key} is incomplete; it needs " + ", ".join(f"--{key}.{name}" for name in missing[1].split(", "))
    message = re.sub(r"Option '(.+?)' is not accepted", r"unrecognized arguments: --\1", message)
    return re.sub(r"(?<!\S)--", f"--{key}.", shorten(message))


def in_full(message: str, args: list[str]) -> str:
    """The same for a class that is no section, such as an optimizer: its key is that of the flag that was typed."""
    flags = [arg.partition("=")[0] for arg in args if arg.startswith("--")]
    if inner := re.match(r"Option '(.+?)' is not accepted|--(\w+): expected", message):
        name = inner[1] or inner[2]
        for flag in flags:
            if flag.endswith(f".{name}") and f"--{name}" not in flags:
                return inside(flag[2:].removesuffix(f".{name}"), message)
    return message


def nearest(message: str, names: list[str]) -> str:
    """A hint at the flag that is most like a word of the message, if there is one and no other hint."""
    flags = {name.lstrip("-"): name for name in names}
    for word in re.findall(r"\w[\w.]{2,}", "" if "Did you mean" in message else message):
        section, dot, setting = word.partition(".")
        for one, rest in ((word, ""), (section, dot + setting)):
            close = difflib.get_close_matches(one, flags, n=1, cutoff=0.8)
            if close and word not in flags and not word.startswith(f"{close[0]}."):
                return f". Did you mean {flags[close[0]]}{rest}?"
    return ""
