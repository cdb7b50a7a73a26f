"""Have an exported file answer where there is neither the project nor Lightning, and for ONNX no torch either.

python bare_export.py FILE INPUTS.npy ANSWERS.npz
"""

import sys

FORBIDDEN = {"jsonargparse", "lightning_fabric", "lit_project", "pytorch_lightning", "torchmetrics", "yaml"}
file, inputs, answers = sys.argv[1:]


class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN | ({"torch"} if file.endswith(".onnx") else set()):
            raise ImportError(f"{name} is forbidden here")


sys.meta_path.insert(0, Forbidden())

import numpy as np  # noqa: E402

batch = np.load(inputs)
if file.endswith(".onnx"):
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"inputs": batch}), strict=True))
else:
    import torch

    found = {name: tensor.numpy() for name, tensor in torch.export.load(file).module()(torch.from_numpy(batch)).items()}
np.savez(answers, **found)
