"""The steps of Dockerfiles, run one by one without Docker: in a folder, with a Python environment of its own.

What an image alone can show is left out: the base image, the user, and torch's own index of CPU builds.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time

import pytest
from conftest import ROOT, bake_into, find_uv, run

RECIPE = ROOT / "recipes/serve"
# In an image, torch is copied and compiled, which takes long and shows nothing here.
QUICK = {"UV_LINK_MODE": "hardlink", "UV_COMPILE_BYTECODE": "0"}


def instructions(dockerfile):
    """Its lines as [(word, rest), ...]."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(encoding="utf-8").replace("\\\n", " "), flags=re.MULTILINE)
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


class Image:
    """What a Dockerfile makes, with its root in a folder.

    Args:
        root: an empty folder.
        dockerfile: a Dockerfile, in the folder of what it copies.
        arguments: build arguments.
    """

    def __init__(self, root, dockerfile, **arguments):
        self.root, self.context, self.arguments = root, dockerfile.parent, arguments
        self.folder, self.variables = root, {}
        run([find_uv(), "venv", "--quiet", "--seed", "--python", sys.executable, root / "usr"], self.context)
        self.last = {}  # by word: the rest of its last line
        for word, rest in instructions(dockerfile):
            self.last[word] = rest
            if word == "RUN" and "useradd" not in rest:  # which an image alone can take
                command = self.here(re.sub(r"--(mount=|cache-dir )\S+", "", rest))
                run(["sh", "-c", command], self.folder, **{**self.environment(), **QUICK})
            elif word == "COPY":
                self.copy(*shlex.split(rest))
            elif word == "WORKDIR":
                self.folder = root / rest.removeprefix("/")
                self.folder.mkdir(parents=True, exist_ok=True)
            elif word == "ENV":
                self.variables |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            elif word == "ARG":
                name, _, default = rest.partition("=")
                self.arguments.setdefault(name, default)

    def here(self, text):
        """The same text, with the image's folders in the root."""
        return re.sub(r"(?<![\w/.])/(app|opt|root|work)\b", rf"{self.root}/\1", text)

    def environment(self):
        path = os.pathsep.join([str(self.root / "usr/bin"), os.environ["PATH"]])
        variables = {name: self.here(value).replace("$PATH", path) for name, value in self.variables.items()}
        return {"PATH": path, "PYTHONPATH": "", "VIRTUAL_ENV": "", **self.arguments, **variables}

    def copy(self, *names):
        *sources, target = [name.replace("${EXPORT}", self.arguments.get("EXPORT", "")) for name in names]
        found = [path for source in sources for path in self.context.glob(source)]
        copied = 0
        for path in found:
            for file in [path] if path.is_file() else path.rglob("*"):
                if file.is_file() and self.is_sent(file.relative_to(self.context).as_posix()):
                    place = self.folder / target / file.relative_to(path if path.is_dir() else path.parent)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, place)
                    copied += 1
        assert copied, f"nothing to copy: {names}"

    def is_sent(self, file):
        """Whether .dockerignore lets a file into a build: the last line with its name, or that of a folder, decides."""
        parts = file.split("/")
        paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        sent = True
        for line in (self.context / ".dockerignore").read_text(encoding="utf-8").splitlines():
            pattern = line.removeprefix("!")
            names = parts if pattern.startswith("**/") else paths
            if any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) for name in names):
                sent = line.startswith("!")
        return sent


def test_steps_of_the_dockerfile_give_a_command_that_trains(tmp_path, python):
    project = bake_into(tmp_path, task="regression", logger="csv")
    (project / ".env").write_text("SECRET=1")
    (project / "src/.env").write_text("SECRET=1")
    (project / "runs/one").mkdir(parents=True)
    (project / "runs/one/config.yaml").touch()
    # The CPU build that is here stands in for torch's index, which tests do not reach.
    image = Image(tmp_path / "image", project / "Dockerfile", DEVICE="cuda")
    assert sorted(path.name for path in (image.root / "app").iterdir()) == [
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "src",
    ]
    (command,) = json.loads(image.last["ENTRYPOINT"])
    where = {**image.environment(), "OMP_NUM_THREADS": "1"}
    run(["sh", "-c", f"{command} fit --run first --trainer.max_epochs 1"], image.folder, **where)
    assert (image.root / "work/runs/first/checkpoints/last.ckpt").is_file()
    packages = run([find_uv(), "pip", "list", "--python", image.root / "opt/env"], image.folder)
    assert not re.search(r"^(pytest|ruff|hadolint)", packages, re.MULTILINE)  # what develops is not in it


def test_flags_of_the_cpu_build_are_uv_s_own(tmp_path):
    (line,) = [rest for _, rest in instructions(ROOT / "{{cookiecutter.project_slug}}/Dockerfile") if "set --" in rest]
    flags = shlex.split(re.search(r"set -- (.*?);", line)[1])
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "one"\nversion = "1"\ndependencies = ["torch"]\n')
    command = [find_uv(), "pip", "install", "--dry-run", "--offline", "--no-cache", "--target", "there", "-r"]
    done = subprocess.run([*command, "pyproject.toml", *flags], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # 2 for a flag that it does not know
    assert "torch" in done.stderr


def test_dockerfile_keeps_secrets_and_root_out(tmp_path):
    for dockerfile in (ROOT / "{{cookiecutter.project_slug}}/Dockerfile", RECIPE / "serve.Dockerfile"):
        lines = instructions(dockerfile)
        words = [word for word, _ in lines]
        assert lines[words.index("USER")][1].isdigit()
        assert not {"ADD", "COPY", "RUN"} & set(words[words.index("USER") :])
        assert not [rest for word, rest in lines if word == "COPY" and rest.startswith(". ")]
        assert not [rest for word, rest in lines if re.search("token|secret|password|key", rest, re.IGNORECASE)]


@pytest.mark.skipif(sys.platform != "linux", reason="serve.py is for Linux")
def test_steps_of_the_server_s_dockerfile_give_a_healthy_server(tmp_path, python):
    project = bake_into(tmp_path, task="regression", logger="csv")
    for file in ("serve.py", "serve.Dockerfile"):
        shutil.copy(RECIPE / file, project)
    short = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    run([python, "-m", "lit_project", "fit", "--run=first", *short], project)
    run([python, "-m", "lit_project", "export", "--run=first", "--format=onnx"], project)
    (line,) = re.findall(r"^printf .*dockerignore$", (RECIPE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    run(["sh", "-c", line], project)
    run([python.parent / "hadolint", "serve.Dockerfile"], project)
    image = Image(tmp_path / "image", project / "serve.Dockerfile")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {**os.environ, **image.environment()}
    server = subprocess.Popen([*json.loads(image.last["ENTRYPOINT"]), "--port", port], cwd=image.folder, env=variables)
    check = json.loads(image.last["HEALTHCHECK"].partition("CMD ")[2].replace("8000", port))
    try:
        is_healthy = False
        for _ in range(60):
            time.sleep(0.5)
            is_healthy = not subprocess.run(check, env=variables, stderr=subprocess.DEVNULL).returncode
            if is_healthy or server.poll() is not None:
                break
        assert is_healthy
    finally:
        server.terminate()
        assert server.wait(30) == 0
    assert subprocess.run(check, env=variables, stderr=subprocess.DEVNULL).returncode
