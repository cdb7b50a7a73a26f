"""One line for a mistake in the settings, with the nearest flag that exists."""

import difflib
import inspect
import re
import sys
from typing import NoReturn

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.strategies import Strategy

from ..errors import BadSetting, RunError
from . import configurations
from .bounds import with_flag
from .class_paths import not_allowed, not_callable, reason_in
from .registry import SHORT_NAMES

CALLABLE = r'Parser key "(.+?)":.*expects a function or a callable class: (.*)\. Got value: (\S+)'
NO_PATH = r'Parser key "(.+?)":\s+- Expected a path but (.*?) either .*\s+- Expected a dot import path string: .*'
TRIED = r'Parser key "(.+?)":.*Subtypes: (.*?)\s+Errors:\s+- (.*)\s+Given value type: .*?Given value: (.*)'
TYPE = r"Literal\[(.*?)\]|<class '([\w.]+)'>|((?:dict|list|tuple)\[(?:str|int|float|bool|, )+\])"
POSITIVE = re.compile(r"(jsonargparse\.typing\.)?PositiveInt")


class Parser(LightningArgumentParser):
    """Says what is wrong in one line, with the nearest name that exists."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        names = [name for action in parser._actions for name in action.option_strings]
        message = shorten(message)
        raise RunError(message + nearest(message, names))


def parse(parser: LightningArgumentParser, args: list[str]) -> Namespace:
    """The settings that the arguments ask for; RunError for a mistake, also in a configuration file."""
    return parse_read(parser, *configurations.read_all_in(args))


def parse_read(parser: LightningArgumentParser, args: list[str], typed: dict[str, str]) -> Namespace:
    """The same, of arguments whose configurations have been read.

    Args:
        parser: the parser of a command.
        args: the arguments, with configurations that exist and are not empty.
        typed: all settings in them and in their files, as text, by flag or by key.

    Raises:
        RunError: if they name what a configuration may not, or hold what no setting can be.
    """
    try:
        return parser.parse_args(args)
    except ImportError as error:  # denied: see ALLOWED in the package's __init__.py
        raise RunError(shorten(str(error))) from error
    except UnicodeDecodeError as error:  # a file in the place of a section: --model.network mine.yaml
        raise RunError("a file of settings is no text in UTF-8", "save it as UTF-8") from error
    except BadSetting as error:
        raise with_flag(error, typed) from error
    except RunError as error:
        raise RunError(in_full(str(error), typed), error.hint) from error


def shorten(message: str) -> str:
    """jsonargparse's message, with its account of all the types that it tried in a few words."""
    if denied := re.search(r"Importing '([\w.]+)' is not allowed", message):
        return not_allowed(denied[1])
    if unknown := re.fullmatch(r"(?:Subcommand|Group) '(.+?)' does not accept option '(.+?)'(.*)", message, re.DOTALL):
        return f"there is no setting {unknown[2]}{unknown[3]}"
    if missing := re.fullmatch(r"the following arguments are required: (.*)", message):
        names = [re.sub(r"^(fit|validate|test|predict)\.", "", name) for name in missing[1].split(", ")]
        return "settings are missing: " + ", ".join(f"--{name.removeprefix('--')}" for name in names)
    if no_section := re.match(r'Parser key "(.+?)":\s+Unable to load config (.*)', message):
        return f"--{no_section[1]}: expected settings, or a file that holds them, got {no_section[2]}"
    if simple := re.fullmatch(r'Parser key "(.+?)"[^:]*:\s+Expected an? (.*?)\. Got value: (.*)', message):
        return f"--{simple[1]}: expected {types_in_words(simple[2])}, got {simple[3]!r}"
    if restricted := re.match(r'Parser key "(.+?)"[^:]*:\s+Not of type (\w+): (.*) does not conform to', message):
        return f"--{restricted[1]}: expected {types_in_words(restricted[2])}, got {restricted[3]!r}"
    if ambiguous := re.search(r"Multiple subclasses with name (\w+)\. Give .* ambiguity: (.*)", message):
        return f"{ambiguous[1]} is the name of several classes; give the full path of one: {ambiguous[2]}"
    if no_class := re.search(CALLABLE, message, re.DOTALL):
        return f"--{no_class[1]}: {not_callable(no_class[3], no_class[2])}"
    if no_path := re.fullmatch(NO_PATH, message):
        close = difflib.get_close_matches(no_path[2], SHORT_NAMES, n=1)
        hint = f". Did you mean {close[0]}?" if close else ", such as torch.optim.AdamW"
        return f"--{no_path[1]}: expected the full path of a class, got {no_path[2]!r}{hint}"
    tried = re.search(TRIED, message, re.DOTALL)
    if not tried:
        return re.sub(r'^Parser key "(.+?)"[^:]*:\s+', r"--\1: ", message)
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
    return f"--{key}: expected {types_in_words(types)}, got {value!r}"


def types_in_words(types: str) -> str:
    """`[typing.Literal['a', 'b'], <class 'int'>]` is `a, b or int`."""
    choices: list[str] = []
    names: list[str] = []
    for literal, kind, collection in re.findall(TYPE, types):
        choices += [value.strip("'") for value in literal.split(", ") if value]
        names += filter(None, [kind, collection])
    words = [", ".join(dict.fromkeys(choices)), *dict.fromkeys(names)]
    return POSITIVE.sub("number above 0", " or ".join(filter(None, words)) or types)


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
    if missing := re.search(r"arguments are required: (.*)|settings are missing: (.*)", message):
        names = (missing[1] or missing[2]).split(", ")
        return f"--{key} is incomplete; it needs " + ", ".join(f"--{key}.{name.removeprefix('--')}" for name in names)
    message = re.sub(r"Option '(.+?)' is not accepted", r"unrecognized arguments: --\1", message)
    return re.sub(r"(?<!\S)--", f"--{key}.", shorten(message))


def in_full(message: str, typed: dict[str, str]) -> str:
    """The same for a class that is no section, such as an optimizer: its key is that of the setting that was typed.

    Args:
        message: what is wrong, perhaps with a name below a key that it leaves out.
        typed: all settings by their keys, as they were typed.
    """
    if inner := re.match(r"Option '(\w+)' is not accepted|--(\w+): expected|settings are missing: --(\w+)", message):
        name = inner[1] or inner[2]
        for key, value in typed.items():
            is_here = key.endswith(f".{name}") if name else has_argument(value, inner[3])
            if is_here and name not in typed:
                return inside(key.removesuffix(f".{name}").removesuffix(".class_path"), message)
    return message


def has_argument(class_path: str, name: str) -> bool:
    """Whether a class has an argument of this name."""
    module, _, kind = str(class_path).rpartition(".")
    found = getattr(sys.modules.get(module), kind, None) if module else SHORT_NAMES.get(kind)
    return isinstance(found, type) and name in inspect.signature(found).parameters


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
