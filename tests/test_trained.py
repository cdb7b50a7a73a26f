"""However a run was trained, everything that uses one takes it, and has the weights that `test` has measured."""

import shutil

from conftest import PROGRAMS, bake_into, run

COMMAND = ["-m", "lit_project"]
FLAGS = ["--preset=mlp", "--trainer.max_epochs=2", "--trainer.enable_model_summary=false"]
SHARDED = ["--preset=fsdp", "--trainer.accelerator=cpu", "--trainer.devices=2"]
TRAINED = {
    "ddp": ["--preset=ddp-cpu"],
    "ddp-bf16-ema": ["--preset=ddp-cpu", "--preset=bf16", "--preset=ema"],
    "fsdp": SHARDED,
    "ema": ["--preset=ema"],
    "ema-compile": ["--preset=ema", "--preset=compile"],
    "bf16": ["--preset=bf16"],
    "bf16-true": ["--trainer.precision=bf16-true"],
}


def test_every_use_takes_a_run_however_it_was_trained(tmp_path, python):
    project = bake_into(tmp_path, task="regression", logger="csv")
    shutil.copy(PROGRAMS / "uses.py", project)
    for name, flags in TRAINED.items():
        run([python, *COMMAND, "fit", "--run", name, *FLAGS, *flags], project)
    printed = run([python, "uses.py", *TRAINED], project)
    assert [line for line in printed.splitlines() if line.startswith("used ")] == [f"used {name}" for name in TRAINED]
    assert "bfloat16 in the checkpoint, float32 in the export" in printed.partition("used bf16\n")[2]
    assert "bfloat16 in the checkpoint" not in printed.partition("used bf16\n")[0]
    for name in ("ema", "fsdp"):  # with other processes than one, and than those of the training
        words = ["predict", "--run", name, "--input=rows.csv", "--output=two.csv", "--overwrite", "--preset=ddp-cpu"]
        run([python, *COMMAND, *words], project)
        assert (project / "two.csv").read_bytes() == (project / f"{name}.csv").read_bytes()


def test_averages_of_weights_in_shards_are_refused(tmp_path, python):
    project = bake_into(tmp_path, task="blank", logger="csv")
    told = run([python, *COMMAND, "fit", *SHARDED, "--preset=ema"], project, code=2)
    assert "averaged weights are whole, those of --preset fsdp in shards" in told
