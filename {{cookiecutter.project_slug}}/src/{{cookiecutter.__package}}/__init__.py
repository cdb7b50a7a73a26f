"""Restricts what a configuration or a checkpoint may name, from the first import of the package on."""

from jsonargparse import set_parsing_settings

# Class paths are imported and called. These hold what a run is built from, and nothing that runs a given command or
# file; for a package of your own, add its name.
ALLOWED = [
    __name__,
    "lightning_fabric.plugins",
    "pytorch_lightning.accelerators",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.cli.ReduceLROnPlateau",
    "pytorch_lightning.loggers",
    "pytorch_lightning.plugins",
    "pytorch_lightning.profilers",
    "pytorch_lightning.strategies",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
]
set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=ALLOWED)
