"""The schema that editors check files of settings with takes those of this project, and no other name."""

import re
from pathlib import Path

import pytest
import yaml
from conftest import CONFIGS, SETTINGS
from jsonschema import Draft7Validator

from {{ cookiecutter.__package }}.__main__ import project
from {{ cookiecutter.__package }}.engine.command.schema import of_settings


class Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as editors and `fit` do."""


EXPONENT = re.compile(r"[-+]?\d[\d.]*[eE][-+]?\d+$")
Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


@pytest.fixture(scope="module")
def validator():
    schema = of_settings(project())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


# Sweeps are files of another kind.
FILES = sorted(path for path in CONFIGS.rglob("*.yaml") if "sweeps" not in path.parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_keeps_to_the_schema(path: Path, validator):
    settings = yaml.load(path.read_text(encoding="utf-8"), Loader)
    assert not [error.message for error in validator.iter_errors(settings)]


@pytest.mark.parametrize("section", ["model", "data", "trainer"])
def test_name_that_no_setting_has_is_a_mistake(section, validator):
    assert not validator.is_valid({**SETTINGS, section: {**SETTINGS.get(section, {}), "mistyped": 1}})
