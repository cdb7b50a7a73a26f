"""Train, and have the last process get a SIGTERM when a step begins: python stop.py STEP fit [flags]."""

import os
import signal
import sys

from lit_project.cli import main
from lit_project.resume import LastCheckpoint

begin = LastCheckpoint.on_train_batch_start


def stopped(self, trainer, *arguments):
    if trainer.global_step == int(sys.argv[1]) and trainer.global_rank == trainer.world_size - 1:
        os.kill(os.getpid(), signal.SIGTERM)
    begin(self, trainer, *arguments)


LastCheckpoint.on_train_batch_start = stopped
main(sys.argv[2:])
