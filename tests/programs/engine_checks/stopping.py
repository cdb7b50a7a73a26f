"""Trainings that are stopped and go on, beside one that nobody touched."""

import pytest
from conftest import last, same
from lit_project.__main__ import main


def stopped_and_untouched(stop_at, *flags, batches=(1, 2), **options):
    """The last checkpoints of a training that nobody touched, and of one that was stopped at batches and went on."""
    main(["fit", "--run", "untouched", *flags], **options)
    for batch in batches:
        stop_at(batch)
        with pytest.raises(SystemExit):
            main(["fit", "--run", "stopped", *flags], **options)
    stop_at(10_000)
    main(["fit", "--run", "stopped", *flags], **options)
    return last("untouched"), last("stopped")


def assert_same(untouched, stopped):
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert same(untouched[part], stopped[part]), part
