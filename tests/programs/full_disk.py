"""Train on a small disk that fills up. test_resume.py mounts it, as runs/, and runs this inside a baked project."""

import os
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import torch
from lit_project.__main__ import main
from lit_project.engine.training.resume import LastCheckpoint

SMALL = ["--trainer.max_epochs=20", "--trainer.limit_train_batches=4", "--trainer.limit_val_batches=1"]
SMALL += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]

save = LastCheckpoint.save


def fill_after_the_first(self, trainer):
    save(self, trainer)
    if trainer.global_step == 16:
        trainer.strategy.checkpoint_io.teardown()  # it is on the disk
        free = os.statvfs("runs").f_bavail * os.statvfs("runs").f_frsize
        Path("runs/filling").write_bytes(bytes(free - 4096))


LastCheckpoint.save = fill_after_the_first
told = StringIO()
try:
    with redirect_stderr(told):
        main(["fit", "--run", "full", "--last_checkpoint.every_n_steps=4", *SMALL])
    code = 0
except SystemExit as stopped:
    code = stopped.code
lines = [line for line in told.getvalue().splitlines() if "lit-project: error" in line]
assert code == 2, code
assert len(lines) == 1, told.getvalue()
assert "MiB left on its disk" in lines[0] or "no space is left on the disk" in lines[0], lines
checkpoints = Path("runs/full/checkpoints")
assert {path.name for path in checkpoints.iterdir()} <= {"last.ckpt", "best.ckpt"}
assert torch.load(checkpoints / "last.ckpt", weights_only=True)["global_step"] == 16
Path("runs/filling").unlink()
LastCheckpoint.save = save
main(["fit", "--run", "full"])
assert torch.load(checkpoints / "last.ckpt", weights_only=True)["resume"]["finished"]
print(f"{lines[0]}\nthe checkpoint before it is whole, and the run went on from it")
