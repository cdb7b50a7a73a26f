"""What the libraries raise for a setting that they do not take, in one line."""

import re
from pathlib import Path

from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ..errors import RunError
from .tracebacks import module_that_raised, own_line

# By a part of the message: what is said before it, and what to try.
KNOWN = {
    "Early stopping conditioned on metric": (
        "",
        "--early_stopping null, or --early_stopping.monitor with another one",
    ),
    "loaded state dict": (
        "the checkpoint has another optimizer or other groups: ",
        "the settings of that training, or --init_from to begin a new one with its weights",
    ),
    "an error where more than one `__init__` argument": (
        "",
        "DataLoader(dataset, batch_size=...), with every argument but the dataset by name",
    ),
    "less than or equal to the number of the training batches": (
        "",
        "--trainer.check_val_every_n_epoch null, to count the batches of all epochs",
    ),
    "is not a valid duration": ("", "--trainer.max_time 00:12:00:00, for days, hours, minutes and seconds"),
    # DistributedDataParallel, before we can look
    "any parameters that require a gradient": ("nothing is trained: ", "train a part"),
    "but no `dataloader_idx`": ("", ""),  # several loaders
    "has no attribute 'backbone'": (
        "BackboneFinetuning trains a part of the model that is called backbone: ",
        "--freeze.modules '[network.features]', which takes the names of any parts",
    ),
}
OF_OPTIMIZERS = (RuntimeError, TypeError, ValueError, ZeroDivisionError)
LIGHTNING = ("pytorch_lightning.", "lightning_fabric.")


def as_mistake(error: Exception, package: Path, is_new: bool = False) -> RunError | None:
    """The line for an error that a library raised about the settings; None for any other, which keeps its traceback.

    Args:
        error: what was raised.
        package: the package's folder.
        is_new: whether it was raised while the Trainer was made, of nothing but settings.
    """
    message, module = str(error), module_that_raised(error)
    if "returned nan values" in message:
        # detect_anomaly has printed the traceback of the operation.
        return RunError(f"{message} Above is the operation, where it was called.")
    for part, (before, hint) in KNOWN.items():
        if part in message:
            return RunError(before + message, hint)
    if isinstance(error, MisconfigurationException):
        return RunError(message)
    if module.startswith("torch.optim") and isinstance(error, OF_OPTIMIZERS):
        setting = "lr_scheduler" if "lr_scheduler" in module else "optimizer"
        what = "one of its numbers is 0" if isinstance(error, ZeroDivisionError) else message
        return RunError(f"--model.{setting}: {what}")
    of_settings = (ImportError, RuntimeError, TypeError, ValueError) if is_new else (ImportError, ValueError)
    if module.startswith(LIGHTNING) and isinstance(error, of_settings) and not own_line(error, package):
        return RunError(message)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or bool(re.search("can't allocate memory|out of memory", str(error)))
