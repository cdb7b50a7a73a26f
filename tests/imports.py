"""Which file of a package imports which, read from its source, and which of these imports break the layers."""

import ast
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

# Each folder of engine/ may import from itself, from those to its right, and from engine/errors.py.
WINGS = ["command", "search", "after", "training", "saving", "devices"]
# Everything may import these, so they import nothing of the project.
FOUNDATIONS = ("engine/__init__.py", "engine/errors.py")
ENTRY = "__main__.py"
Trees = dict[str, list[ast.Module]]  # by path in the package; one file may have variants


class Import(NamedTuple):
    """One name that a file imports from another file of its package.

    Args:
        file: the file that imports, as a path in the package.
        text: the statement, for this name alone.
        target: the file that it leads to; None if there is none.
        base: the folder in which the path of the import begins: "" for the package, None for an absolute import.
    """

    file: str
    text: str
    target: str | None
    base: str | None


def offences(*folders: Path, package: str = "lit_project") -> list[str]:
    """Every import that breaks the layers, as `file: import (why)`.

    Args:
        folders: the package's source; several if variants of its files lie in several places.
        package: the name by which an absolute import would find it.
    """
    trees: Trees = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            trees[path.relative_to(folder).as_posix()].append(ast.parse(path.read_text(encoding="utf-8")))
    imports = [one for file in sorted(trees) for one in imports_of(file, trees, package)]
    objections = {one: objection(one) for one in imports}
    # An import that is refused anyway would make circles of those that are not.
    reachable = reachable_files([one for one in imports if not objections[one]])
    found = [f"{file} (lies in none of {', '.join(WINGS)})" for file in sorted(trees) if is_homeless(file)]
    for one, reason in objections.items():
        is_in_circle = one.target and one.file in reachable[one.target] | {one.target}
        if reason or is_in_circle:
            found.append(f"{one.file}: {one.text} ({reason or 'closes a circle'})")
    return list(dict.fromkeys(found))


def imports_of(file: str, trees: Trees, package: str) -> list[Import]:
    """All imports of the package's own files, also those inside functions and for type checkers."""
    found = []
    for node in [node for tree in trees[file] for node in ast.walk(tree)]:
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            own = [words for words in names if words[0] == package]
            found += [Import(file, f"import {'.'.join(words)}", resolve(words[1:], trees), None) for words in own]
        elif isinstance(node, ast.ImportFrom):
            words = node.module.split(".") if node.module else []
            if node.level:
                base = file.split("/")[: -node.level]
            elif words[0] == package:
                base, words = [], words[1:]
            else:
                continue
            for alias in node.names:
                text = f"from {'.' * node.level}{node.module or ''} import {alias.name}"
                target = resolve([*base, *words, alias.name], trees) or resolve([*base, *words], trees)
                found.append(Import(file, text, target, "/".join(base) if node.level else None))
    return found


def resolve(words: list[str], trees: Trees) -> str | None:
    """The file that a dotted path names: a module, or the __init__.py of a folder."""
    names = ("/".join(words) + ".py", "/".join([*words, "__init__.py"]))
    return next((name for name in names if name in trees), None)


def objection(one: Import) -> str:
    """Why a file may not import that; nothing if it may."""
    if one.base is None:
        return "an absolute import, which breaks when the package is renamed"
    if not one.file.startswith("engine/"):
        # The package's __init__.py offers to Python what __main__.py offers to the command line.
        is_closed = one.target == ENTRY and one.file != "__init__.py"
        return "__main__ imports the others, and none of them imports it" if is_closed else ""
    if one.file in FOUNDATIONS:
        return "everything may import this file, so it imports nothing of the project"
    if not one.base.startswith("engine"):
        return "climbs out of the engine, which knows nothing of the package above it"
    wing, other = wing_of(one.file), wing_of(one.target or "")
    if wing in WINGS and other in WINGS and WINGS.index(wing) > WINGS.index(other):
        return f"{wing} lies below {other}"
    return ""


def wing_of(file: str) -> str:
    return file.removeprefix("engine/").split("/")[0]


def is_homeless(file: str) -> bool:
    return file.startswith("engine/") and file not in FOUNDATIONS and wing_of(file) not in WINGS


def reachable_files(imports: list[Import]) -> dict[str, set[str]]:
    """By file: all files that it imports, and that these import in turn."""
    targets = defaultdict(set)
    for one in imports:
        if one.target:
            targets[one.file].add(one.target)
    reachable: dict[str, set[str]] = defaultdict(set)
    for file in list(targets):
        waiting = [file]
        while waiting:
            new = targets[waiting.pop()] - reachable[file]
            reachable[file] |= new
            waiting += new
    return reachable
