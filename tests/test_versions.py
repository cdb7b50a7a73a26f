"""Every Python that a project says it runs on: its packages, resolved for all of them at once, have wheels there."""

import functools
import itertools
import shutil
from pathlib import Path

import pytest
from conftest import CHOICES, ROOT, bake_into, find_uv, pyproject, run, tomllib
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
# By what `sys.platform` is there: what a marker calls it, and the platforms of its wheels.
COMPUTERS = {
    "linux": ("Linux", "x86_64", ["manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 37))]),
    "darwin": ("Darwin", "arm64", list(mac_platforms((15, 0), "arm64"))),
    "win32": ("Windows", "AMD64", ["win_amd64"]),
}


def project_with_all_loggers(folder: Path) -> Path:
    projects = [bake_into(folder / logger, logger=logger, task="vision") for logger in CHOICES["logger"]]
    first, *others = (pyproject(project)["project"]["dependencies"] for project in projects)
    file = projects[0] / "pyproject.toml"
    more = "".join(f'    "{needed}",\n' for needed in {*itertools.chain(*others)} - {*first})
    file.write_text(file.read_text(encoding="utf-8").replace("dependencies = [\n", f"dependencies = [\n{more}", 1))
    return projects[0]


@functools.cache
def tags(python_version: str, computer: str) -> set[Tag]:
    version, platforms = tuple(map(int, python_version.split("."))), COMPUTERS[computer][2]
    interpreter = f"cp{python_version.replace('.', '')}"
    return {*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)}


def marked(python_version: str, computer: str) -> dict[str, str]:
    """What markers of requirements ask for."""
    system, machine, _ = COMPUTERS[computer]
    return {
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
        "sys_platform": computer,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "nt" if computer == "win32" else "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }


@pytest.mark.parametrize("what", ["the template's tests", "a project with all loggers, extras and tools"])
def test_all_packages_have_wheels_for_each_python(what, tmp_path):
    folder = tmp_path if "template" in what else project_with_all_loggers(tmp_path)
    if folder == tmp_path:
        shutil.copy(ROOT / "pyproject.toml", folder)
    # Without the wheels that a site keeps for its own Python.
    run([find_uv(), "lock"], folder, UV_FIND_LINKS="")
    flags = ["--frozen", "--no-hashes", "--no-annotate", "--no-emit-project", "--all-extras", "--all-groups"]
    lines = run([find_uv(), "export", "--quiet", *flags], folder).splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    locked = tomllib.loads((folder / "uv.lock").read_text(encoding="utf-8"))["package"]
    wheels = {
        f"{package['name']}=={package['version']}": [
            parse_wheel_filename(wheel["url"].rpartition("/")[2])[3] for wheel in package.get("wheels", [])
        ]
        for package in locked
        if "version" in package
    }
    without = []
    for python_version, computer in itertools.product(PYTHONS, COMPUTERS):
        environment = marked(python_version, computer)
        needed = [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]
        assert len(needed) > 50
        for name in (f"{one.name}{one.specifier}" for one in needed):
            if not any(wheel & tags(python_version, computer) for wheel in wheels[name]):
                without.append(f"{name} on {python_version}, {computer}")
    assert not without
