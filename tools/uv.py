"""Run uv: the one on the PATH or, where there is none, one of this folder's own, in .uv/.

    python3 tools/uv.py run pytest

Needs nothing but Python 3.10 or newer; installs nothing outside this folder.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PRIVATE = Path(__file__).resolve().parents[1] / ".uv"
BIN = PRIVATE / ("Scripts" if os.name == "nt" else "bin")


def find_uv() -> str:
    if uv := shutil.which("uv") or shutil.which("uv", path=str(BIN)):
        return uv
    print(f"uv is not installed; putting a private one into {PRIVATE}", file=sys.stderr)
    try:
        venv.create(PRIVATE, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("Error: this Python cannot make environments; install python3-venv, or uv itself, and try again")
    subprocess.run([BIN / "python", "-m", "pip", "install", "--quiet", "uv>=0.9"], check=True)
    return shutil.which("uv", path=str(BIN)) or sys.exit(f"Error: no uv in {BIN} after installing it")


def environment() -> dict[str, str]:
    """uv does not read pip's settings: pass on where a site keeps packages of its own, such as torch for the CPU."""
    links = os.environ.get("PIP_FIND_LINKS", "").split()
    return {"UV_FIND_LINKS": ",".join(links), **os.environ} if links else dict(os.environ)


def main() -> int:
    try:
        return subprocess.run([find_uv(), *sys.argv[1:]], env=environment()).returncode
    except KeyboardInterrupt:
        return 130
    except subprocess.CalledProcessError as error:
        print(f"Error: {' '.join(map(str, error.cmd))} failed; its own message stands above", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
