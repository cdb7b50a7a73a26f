"""Why a class that a configuration names by its path cannot be used, in a few words."""

import difflib
import pkgutil
import re
import sys
from types import ModuleType

OTHER_LIGHTNING = "Lightning's package is pytorch_lightning here, not lightning"


def reason_in(error: str, value: str, types: str) -> str:
    """The reason that jsonargparse gives for one of the types that it tried; nothing if it gives none.

    Args:
        error: what it says of that type.
        value: the value that it was given.
        types: all types that it tried.
    """
    if failed := re.match(r"Problem with given class_path '(.+?)':\s+(.*)", error, re.DOTALL):
        return import_failure(failed[1], failed[2].strip())
    if foreign := re.match(r"Import path (?:(\S+) )?does not correspond to a subclass of (\w+)", error):
        wanted = re.search(rf"[\w.]+\.{foreign[2]}\b", types)
        return not_derived(foreign[1] or value.strip(), wanted[0] if wanted else foreign[2])
    return ""


def not_allowed(path: str) -> str:
    """A path that is not in ALLOWED."""
    if path.partition(".")[0] == "lightning":
        return f"{path}: {OTHER_LIGHTNING}"
    return f"{path} is not among what a configuration may name: see ALLOWED in the package's __init__.py"


def import_failure(path: str, reason: str) -> str:
    """A path that could not be imported, with the nearest name where the last one found nothing of that name."""
    missing = re.fullmatch(r"module '([\w.]+)' has no attribute '(\w+)'", reason)
    if missing and path.startswith(f"{missing[1]}.{missing[2]}"):  # otherwise the module itself misses something
        close = difflib.get_close_matches(missing[2], names_in(sys.modules.get(missing[1])), n=1)
        rest = path.removeprefix(f"{missing[1]}.{missing[2]}")
        reason += f". Did you mean {missing[1]}.{close[0]}{rest}?" if close else ""
    elif re.match(r"No module named 'lightning\b", reason):
        reason += f": {OTHER_LIGHTNING}"
    return f"{path} cannot be imported: {reason}"


def not_callable(value: str, reason: str) -> str:
    """A value where a class is wanted that is called later, such as an optimizer's."""
    if value == "None":
        return "expected a class, got null"
    if other := re.search(r"Expected '(\S+)' to be a subclass of <class '(\w+)'>", reason):
        return not_derived(other[1], other[2])
    return import_failure(value, reason)


def not_derived(path: str, wanted: str) -> str:
    """A class of another kind than the one that is wanted."""
    module, _, name = path.rpartition(".")
    kind = getattr(sys.modules.get(module), name, None)
    bases = kind.__mro__ if isinstance(kind, type) else ()
    from_lightning = any(base.__module__.partition(".")[0] == "lightning" for base in bases)
    return f"{path} does not derive from {wanted}" + (f": {OTHER_LIGHTNING}" if from_lightning else "")


def names_in(module: ModuleType | None) -> list[str]:
    """What a module has, and the modules of a package, imported or not."""
    submodules = [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]
    return [*dir(module), *submodules]
