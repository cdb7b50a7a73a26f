"""Look for private names in the installed libraries: python library_names.py '{"name": "owner"}' PACKAGE...

Prints, as JSON, those that their owners lack, and those of the packages' classes that a library's base class has too.
"""

import ast
import functools
import importlib.util
import inspect
import json
import pkgutil
import re
import sys
import textwrap


def find(path):
    """What a dotted path names: the longest part that can be imported, and attributes of it."""
    words = path.split(".")
    for end in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError:
            continue
        for word in words[end:]:
            found = getattr(found, word)
        return found
    raise ModuleNotFoundError(path)


def has(owner, name):
    """Whether a module or class has it, or the class declares it, or a method sets it; or a function names it."""
    if inspect.isfunction(owner):
        return f'"{name}"' in inspect.getsource(owner)
    kinds = owner.__mro__ if inspect.isclass(owner) else ()
    if hasattr(owner, "__path__") and importlib.util.find_spec(f"{owner.__name__}.{name}"):
        return True  # a module that nothing has imported yet
    return hasattr(owner, name) or any(name in set_on_self(kind) | declared(kind) for kind in kinds)


def declared(kind):
    """The names that have a type in the body of one class, and a value perhaps."""
    return set(vars(kind).get("__annotations__", {}))


@functools.cache
def set_on_self(kind):
    """The attributes that the methods of one class set on `self`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # it is written in C
        return set()
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def missing(table):
    for name, path in table.items():
        try:
            owner = find(path)
        except (ModuleNotFoundError, AttributeError):
            yield f"{name}: there is no {path}"
            continue
        if not has(owner, name):
            yield f"{name}: {path} has none"


def classes(package):
    """The classes that the modules of a package define."""
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        for kind in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(kind) and kind.__module__ == module.name:
                yield kind


def replaced(package):
    """The private names that a class of the package defines, and a base class from elsewhere has."""
    for kind in classes(package):
        source = inspect.getsource(kind)  # without what Python itself adds, such as _abc_impl
        names = {*re.findall(r"\b_[A-Za-z]\w*", source)} & {*vars(kind), *set_on_self(kind)}
        bases = [base for base in kind.__mro__ if not base.__module__.startswith(package) and base is not object]
        for name in names:
            yield from {name for base in bases if name in vars(base) or name in set_on_self(base)}


if __name__ == "__main__":
    table, packages = json.loads(sys.argv[1]), sys.argv[2:]
    found = {name for package in packages for name in replaced(package)}
    print("names:", json.dumps({"missing": list(missing(table)), "replaced": sorted(found)}))
