"""A script that runs commands one after the other, also with two processes, and says what each left behind."""

import os

import pytorch_lightning as pl
import torch
from lit_project.__main__ import main

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SHORT = [*QUIET, "--trainer.max_epochs=2", "--last_checkpoint.every_n_steps=1000000"]
TWO = ["--preset=ddp-cpu", *SHORT]


class Count(pl.Callback):
    batches = 0

    def on_train_batch_end(self, trainer, *_):
        self.batches += 1


class Fail(pl.Callback):
    def on_train_epoch_end(self, trainer, *_):
        if trainer.current_epoch == 1 and trainer.is_global_zero:
            raise ValueError("mine")


def others():
    """The processes of this one that are still there."""
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return file.read().split()


def say(what):
    if "LOCAL_RANK" not in os.environ:  # with callbacks, the other processes run this script too
        print("SAID", what, torch.distributed.is_initialized(), others(), dict(os.environ) == environment, flush=True)


environment = dict(os.environ)
count = Count()
main(["fit", "--run=one", *SHORT])
say("one")
main(["fit", "--run=two", *TWO])
say("two")
main(["fit", "--run=counted", *TWO], callbacks=[count])
say(f"counted {count.batches}")
try:
    main(["fit", "--run=failed", *TWO], callbacks=[Fail()])
except ValueError as error:
    say(error)
main(["test", "--run=two", *QUIET])
say("test of two")
main(["test", "--run=two", "--preset=cpu", *QUIET])
main(["fit", "--run=again", *SHORT])
say("again")
