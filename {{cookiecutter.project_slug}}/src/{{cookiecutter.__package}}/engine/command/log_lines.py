"""What a log shows: the messages of a run, without those that nobody can act on."""

import logging
import re
import warnings

# A pattern of each warning, and where it comes from.
IRRELEVANT_WARNINGS = (
    ".*LeafSpec.*",  # Lightning 2.6 on torch 2.13
    ".*exists and is not empty.*",  # the checkpoints of a run that goes on
    ".*`srun` command is available.*",  # as on any host of a cluster
    ".*not supported by the model summary.*",
    ".*overrides the configure_model callback.*",  # which does nothing without shards
)
# The same for messages.
IRRELEVANT_MESSAGES = (
    "Tip:",
    "default `ModelSummary`",
    "to estimate number of stepping batches",
    # The first lines of a command name its devices. What is there and not used is told.
    "^GPU available: False",
    "^GPU available: .*used: True",
    "^TPU available: False",
    "^LOCAL_RANK: ",
    "that has Tensor Cores",  # which the preset gpu uses, by its precision
)


def silence_irrelevant_messages() -> None:
    """Silence Lightning's messages that users cannot act on."""
    for module in ("utilities.rank_zero", "accelerators.cuda"):
        logging.getLogger(f"pytorch_lightning.{module}").addFilter(is_relevant)
    for pattern in IRRELEVANT_WARNINGS:
        warnings.filterwarnings("ignore", pattern)


def is_relevant(record: logging.LogRecord) -> bool:
    return not re.search("|".join(IRRELEVANT_MESSAGES), record.getMessage())
