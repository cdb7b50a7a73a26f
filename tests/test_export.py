"""Every task's model leaves the project: its exported files answer alike, also where there is nothing but them."""

import re
import shutil

import pytest
from conftest import CHOICES, PROGRAMS, SHORT, bake_into, run

COMMAND = ["-m", "lit_project"]
FLAGS = {
    "regression": ["--preset=mlp", "--trainer.max_epochs=2"],
    "vision": SHORT,
    "language": ["--trainer.max_steps=3", "--trainer.val_check_interval=3", "--trainer.limit_val_batches=1"],
    "blank": ["--trainer.max_epochs=2"],
}
# Raw inputs, and the type of their numbers; for language longer than what the network was trained on.
INPUTS = {
    "regression": "(5, 10), 'float32'",
    "vision": "(5, 1, 8, 8), 'uint8'",
    "language": "(5, 150), 'int64'",
    "blank": "(5, 4), 'float32'",
}
ANSWER = """
import numpy as np, torch
from lit_project import load
def raw(shape, dtype):
    return np.random.default_rng(0).integers(0, 100, size=shape).astype(dtype)
np.save("inputs.npy", raw({inputs}))
inputs = torch.from_numpy(np.load("inputs.npy"))
for source, file in (("runs/first", "expected.npz"), ("runs/first/export", "safetensors.npz")):
    np.savez(file, **{{name: tensor.numpy() for name, tensor in load(source)(inputs).items()}})
"""
COMPARE = """
import numpy as np
expected = np.load("expected.npz")
largest = max(np.abs(answer).max() for answer in expected.values() if answer.dtype == np.float32)
for file in ("safetensors.npz", "model.onnx.npz", "model.pt2.npz"):
    found = np.load(file)
    assert found.files == expected.files, file
    for name, answer in expected.items():
        assert found[name].dtype == answer.dtype, (file, name)
        tolerance = 1e-5 * largest if answer.dtype == np.float32 else 0
        np.testing.assert_allclose(found[name], answer, rtol=0, atol=tolerance, err_msg=f"{file} {name}")
"""


@pytest.mark.parametrize("task", CHOICES["task"])
def test_exported_files_answer_without_the_project_and_lightning(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    run([python, *COMMAND, "fit", "--run", "first", *FLAGS[task]], project)
    printed = run([python, *COMMAND, "export", "--run", "first"], project)
    assert re.search(r"^onnx( +[\d.e-]+){3}\npt2( +[\d.e-]+){3}\nsafetensors( +0){3}$", printed, re.MULTILINE)
    run([python, "-c", ANSWER.format(inputs=INPUTS[task])], project)
    elsewhere = shutil.copytree(project / "runs/first/export", tmp_path / "elsewhere")
    for file in ("model.onnx", "model.pt2"):
        bare = [python, PROGRAMS / "bare_export.py", file, project / "inputs.npy", project / f"{file}.npz"]
        run(bare, elsewhere, PYTHONPATH="")
    run([python, "-c", COMPARE], project)
