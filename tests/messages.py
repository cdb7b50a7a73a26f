"""The lines with which questions, hooks, engine and files in front refuse something or warn, from their sources."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from conftest import PROJECT, ROOT

SOURCES = [
    ROOT / "lit_answers.py",
    *(ROOT / "hooks").glob("*.py"),
    *PROJECT.rglob("src/**/*.py"),
]
REFUSES = {"RunError", "BadSetting", "Finished", "refusal", "exit", "warn"}
GAP = "\0"  # in the place of what varies
LEAST = 7  # letters of a line that is its own, and not a name with another line behind it


def lines_of(file: Path) -> set[str]:
    """The lines that a file refuses or warns with; those without a text of their own are left out."""
    found = set()
    for scope in scopes(ast.parse(file.read_text(encoding="utf-8"))):
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and node.args and is_refusal(node):
                found |= set(texts(node.args[0], scope))
            elif isinstance(node, ast.Yield) and file.name == "promises.py":
                found |= set(texts(node.value, scope))
    return {line for line in found if len(re.sub(r"[^a-z]", "", line)) >= LEAST}


def scopes(module: ast.Module) -> Iterator[ast.AST]:
    """Functions, in which a name stands for one text, and the module for what is outside of them."""
    yield module
    yield from (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef))


def is_refusal(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in REFUSES or (name == "print" and any(keyword.arg == "file" for keyword in call.keywords))


def texts(node: ast.AST | None, scope: ast.AST) -> Iterator[str]:
    """The texts that an argument may be, on one line, with gaps."""
    if isinstance(node, ast.IfExp):
        yield from (*texts(node.body, scope), *texts(node.orelse, scope))
    elif isinstance(node, ast.Name):
        for found in ast.walk(scope):
            targets = getattr(found, "targets", [getattr(found, "target", None)])
            if isinstance(found, ast.Assign | ast.AnnAssign) and node.id in [getattr(one, "id", "") for one in targets]:
                yield from texts(found.value, scope) if not isinstance(found.value, ast.Name) else ()
    elif node is not None and (text := text_of(node)):
        yield " ".join(text.split())


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (text_of(node.left) or GAP) + (text_of(node.right) or GAP)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@functools.cache
def all_texts() -> set[str]:
    """All texts in the sources, on one line each, with gaps."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in SOURCES]
    return {" ".join(text_of(node).split()) for tree in trees for node in ast.walk(tree)} - {""}
