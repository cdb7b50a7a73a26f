"""The command `schema`: what a configuration may hold, as a JSON schema with which editors complete and check files.

Draft 7, the newest that VS Code's YAML extension knows in all its releases.
"""

import json
import re
from typing import Any, get_args

from jsonargparse._common import denying_import_path_entry
from jsonargparse._completions_jsonschema import (
    ParserJsonschema,
    anyof_schema,
    get_all_subclass_paths,
    get_callable_return_type,
    import_object,
    is_single_subclass_type,
)

from ..saving.atomic import write_text
from .arguments import FlagParser
from .project import Project
from .registry import SHORT_NAMES
from .settings import training_parser

FILE = "schema.json"  # beside default.yaml, whose first line names it
DRAFT = "http://json-schema.org/draft-07/schema#"
PATH = {"anyOf": [{"enum": [*SHORT_NAMES]}, {"type": "string", "pattern": r"\."}]}  # of a class or a file
OF_ANY_CLASS = {"init_args": {"type": "object"}, "dict_kwargs": {"type": "object"}}


def main(args: list[str], project: Project) -> None:
    """Write configs/schema.json, with which editors complete and check the files of settings.

    It describes the arguments of this Model and DataModule, and the classes of the installed packages: write it anew
    when one of these changes.
    """
    parser = FlagParser(prog=f"{project.program} schema", description=main.__doc__)
    parser.parse_args(args[1:])
    path = project.configs / FILE
    write_text(path, json.dumps(of_settings(project)) + "\n")
    print(f"Schema: {path}")


def of_settings(project: Project) -> dict[str, Any]:
    """What any file of settings may hold, whole or in part."""
    parser = training_parser(project, project.load_parts(), "fit")
    return {**of_parts(Schema(project.package).generate(parser)), "$schema": DRAFT}


class Schema(ParserJsonschema):
    """jsonargparse's schema, with the classes that a configuration may name, and with those that nobody has imported.

    Args:
        package: the project's package. Its modules are not all imported, so any path in it may be a class.
    """

    def __init__(self, package: str) -> None:
        super().__init__()
        self.package = package
        self.short_names = {kind: name for name, kind in SHORT_NAMES.items()}

    def callable_schema(self, typehint: Any, action: Any) -> dict[str, Any]:
        """A class that is called later, such as an optimizer; jsonargparse has none for two kinds, as of schedules."""
        returned = get_callable_return_type(typehint)
        kinds = [kind for kind in get_args(returned) or [returned] if is_single_subclass_type(kind, None)]
        classes = [self.class_ref(kind, action, subclass=True) for kind in kinds]
        return anyof_schema(classes or [PATH])

    def subclass_def(self, class_type: Any, action: Any) -> dict[str, Any]:
        paths = [path for path in get_all_subclass_paths(class_type) if denying_import_path_entry(path) is None]
        known = [self.class_path_schema(path, action) for path in paths]
        names: list[str] = []
        for path, one in zip(paths, known, strict=True):
            short = self.short_names.get(import_object(path))
            one["properties"]["class_path"] = {"enum": [short, path] if short else [path]}
            names += one["properties"]["class_path"]["enum"]
        # A path with dots, in packages of which no class is known: one that is mistyped is no class of torch's.
        packages = {name.partition(".")[0] for name in names if "." in name} - {self.package}
        others = "".join(rf"(?!{re.escape(package)}\.)" for package in sorted(packages))
        unknown = {"type": "string", "pattern": rf"^{others}\w+\.", "not": {"enum": names}}
        return {"anyOf": [PATH, *known, of_class({"class_path": unknown}), of_class({})]}


def of_class(properties: dict[str, Any]) -> dict[str, Any]:
    """A class of any arguments, or arguments alone, for a class that another file names."""
    return {"type": "object", "additionalProperties": False, "properties": {**properties, **OF_ANY_CLASS}}


def of_parts(part: Any) -> Any:
    """A part of jsonargparse's schema as one of draft 7, for files that need not hold every setting."""
    if isinstance(part, list):
        return [of_parts(one) for one in part]
    if not isinstance(part, dict):
        return part
    part = {key: of_parts(value) for key, value in part.items() if key != "required"}
    if "prefixItems" in part:
        part["additionalItems"] = part.pop("items", True)
        part["items"] = part.pop("prefixItems")
    if isinstance(properties := part.get("properties"), dict):
        properties = {name: value for name, value in properties.items() if name != "$schema"}
        added = {f"{name}+": value for name, value in properties.items() if takes_list(value)}
        part["properties"] = {**properties, **added}
        if "class_path" in properties:
            part["required"] = ["class_path"]
    return part


def takes_list(part: Any) -> bool:
    """Whether a setting may be a list, to which `name+` adds."""
    choices = part.get("anyOf", [part])
    return any(one.get("type") == "array" and "additionalItems" not in one for one in choices)
