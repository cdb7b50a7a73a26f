"""What needs no torch is answered without it: importing torch and Lightning takes seconds."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(("torch", "pytorch_lightning", "lightning_fabric", "torchmetrics", "matplotlib")))
from lit_project.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("--help", 0, "usage: lit-project COMMAND"),
        ("merge --help", 0, "usage: lit-project merge"),
        ("merge missing", 2, "missing is no checkpoint in shards"),
        ("merge", 2, "required: checkpoint"),
        ("", 2, "expected one of fit"),
        ("fitt", 2, "expected one of fit"),
        ("fit --preset nosuch", 2, "there is no preset 'nosuch'"),
        ("fit --config missing.yaml", 2, "missing.yaml cannot be read"),
        ("fit --config twice.yaml", 2, "twice.yaml, line 3: max_epochs is there already, in line 2"),
        ("fit --run", 2, "--run"),
        ("fit --run a/b", 2, "cannot name a folder"),
        ("fit --init_partial", 2, "there is none"),
        ("test --run nosuch", 2, "there is no run 'nosuch'"),
        ("test --init_from best.ckpt", 2, "test uses a trained model"),
        ("fit --run damaged", 2, "config.yaml is damaged"),
        ("predict --run newer", 2, "this version of the engine reads formats up to"),
    ],
)
def test_is_answered_without_torch(tmp_path, line, code, told):
    (tmp_path / "twice.yaml").write_text("trainer:\n  max_epochs: 1\n  max_epochs: 2\n")
    for run, config in (("damaged", "[]"), ("newer", "trainer: {}")):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "config.yaml").write_text(config)
    (tmp_path / "runs/newer/manifest.json").write_text('{"format": 1000}')
    command = [sys.executable, "-c", PROGRAM, *line.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert told in done.stdout + done.stderr
