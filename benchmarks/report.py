"""What the benchmarks share: bakes, the processor time and memory of a process, and the sections of docs/speed.md."""

import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
UV = [sys.executable, str(ROOT / "tools/uv.py")]
DOCUMENT = ROOT / "docs/speed.md"
# Compiled files are kept, as on anybody's machine, and a process has one thread.
ENVIRONMENT = {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}


class Cost(NamedTuple):
    """What a process has used, with all processes that it has waited for.

    Args:
        seconds: processor time.
        mebibytes: memory at its peak, of the largest process.
    """

    seconds: float
    mebibytes: float


def bake(name: str, **answers: str) -> Path:
    """Bake a project with these answers into build/NAME, and return its folder."""
    out = ROOT / "build" / name
    shutil.rmtree(out, ignore_errors=True)
    words = ["cookiecutter", str(ROOT), "--no-input", "--output-dir", str(out)]
    words += [f"{question}={answer}" for question, answer in answers.items()]
    subprocess.run([*UV, "run", *words], cwd=ROOT, check=True, capture_output=True)
    return out / "lit-project"


def python_of(project: Path, *extras: str) -> str:
    """The Python of a project's environment with some extras, which is made if need be."""
    flags = [f"--extra={extra}" for extra in extras]
    words = [*UV, "run", "--directory", str(project), *flags, "python", "-c", "import sys; print(sys.executable)"]
    return subprocess.run(words, check=True, capture_output=True, encoding="utf-8").stdout.strip()


def cost(command: list[str], folder: Path, codes: tuple[int, ...] = (0,)) -> Cost:
    """Run a command whose exit code is one of `codes`, without showing what it prints."""
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, **nothing)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def where() -> str:
    """The day, the machine and the versions, for the sentence that says where something was measured."""
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
    return f"Measured on {date.today()}: {machine}, Python {platform.python_version()}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_section(title: str, text: str) -> None:
    """Put a section of docs/speed.md in the place of the one with this title, or at the end, and print it."""
    document = DOCUMENT.read_text(encoding="utf-8")
    section = f"## {title}\n\n{text.strip()}\n"
    before, found, rest = document.partition(f"## {title}\n")
    after = re.search(r"^## ", rest, re.MULTILINE)
    following = "\n" + rest[after.start() :] if found and after else ""
    DOCUMENT.write_text(before.rstrip() + "\n\n" + section + following, encoding="utf-8")
    print(section)
