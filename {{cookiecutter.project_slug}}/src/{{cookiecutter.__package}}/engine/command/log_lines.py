"""What a log shows: the messages of a run, without those that nobody can act on."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

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


@contextmanager
def without_irrelevant_messages() -> Iterator[None]:
    """Silence Lightning's messages that users cannot act on, for as long as a command runs."""
    loggers = [logging.getLogger(f"pytorch_lightning.{name}") for name in ("utilities.rank_zero", "accelerators.cuda")]
    outside: list[Any] = warnings.filters  # type: ignore[assignment] # a list, which typeshed calls a sequence
    with ExitStack() as at_end, warnings.catch_warnings():
        for logger in loggers:
            logger.addFilter(is_relevant)
            at_end.callback(logger.removeFilter, is_relevant)
        for pattern in IRRELEVANT_WARNINGS:
            warnings.filterwarnings("ignore", pattern)
        ours = list(warnings.filters)
        try:
            yield
        finally:  # libraries add filters when they are imported, which is once: those outlast the command
            outside[:0] = [entry for entry in warnings.filters if entry not in ours]


def is_relevant(record: logging.LogRecord) -> bool:
    return not re.search("|".join(IRRELEVANT_MESSAGES), record.getMessage())
