"""Compare what `memory` tells with what a training takes, and with what docs/scale.md shows."""

import re

import pytest
from conftest import bake_into, run

# What is told, and then the most bytes that were allocated at once in a training, by torch's own record of each
# allocation. Lightning starts this file again for the second process.
MEASURE = """
import json, os, sys
from torch.profiler import ProfilerActivity, profile
from lit_project.__main__ import main

devices, settings, short = (line.split() for line in sys.argv[1:])
first = os.environ.get("LOCAL_RANK", "0") == "0"
if first:
    main(["memory", "--devices", *devices, *settings])
with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
    main(["fit", *settings, *short])
if first:
    profiler.export_chrome_trace("trace.json")
    events = json.load(open("trace.json"))["traceEvents"]
    print("peak", max(event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]"))
"""
# A checkpoint would be copied while the training goes on.
SHORT = "--trainer.limit_train_batches=2 --trainer.limit_val_batches=1 --trainer.enable_checkpointing=false"
SHORT += " --trainer.max_epochs=1 --trainer.max_steps=-1 --trainer.val_check_interval=1.0 --run=measured"

# So many channels that the pictures, which stay in the host's memory, do not matter.
WIDE = "--model.network.width=64 --data.batch_size=128"
# Weights matter, and the second process is quick.
DEEP = "--model.network.width=128 --model.network.depth=8 --data.context=64 --data.batch_size=4"
# The strategy of the preset fsdp, without the GPUs that it asks for.
SHARDS = "--preset=fsdp --trainer.accelerator=cpu --trainer.devices=2 --trainer.precision=bf16-mixed"
CASES = {
    "language": ("language", "one device", 1, "--preset=large --trainer.accelerator=cpu"),
    "vision": ("vision", "one device", 1, f"{WIDE} --trainer.accelerator=cpu"),
    "two processes": ("language", "ddp", 2, f"{DEEP} --preset=ddp-cpu"),
    "two shards": ("language", "fsdp", 2, f"{DEEP} {SHARDS}"),
}


@pytest.mark.parametrize("case", CASES)
def test_memory_told_is_within_15_percent_of_a_training(tmp_path, python, case):
    task, strategy, devices, settings = CASES[case]
    project = bake_into(tmp_path, task=task, logger="csv")
    (project / "measure.py").write_text(MEASURE, encoding="utf-8")
    printed = run([python, "-W", "ignore", "measure.py", str(devices), settings, SHORT], project)
    total = re.search(rf"^{strategy} +{devices} .* ([\d.]+) ([KMG])iB$", printed, re.MULTILINE)
    told = float(total[1]) * 1024 ** ("KMG".index(total[2]) + 1)
    measured = int(re.search(r"^peak (\d+)$", printed, re.MULTILINE)[1])
    print(f"{case}: told {told / 2**20:.1f} MiB, measured {measured / 2**20:.1f} MiB")
    assert told == pytest.approx(measured, rel=0.15)


def test_tables_in_docs_are_what_their_commands_print(tmp_path, python):
    project = bake_into(tmp_path, task="language", logger="csv")
    text = (project / "docs/scale.md").read_text(encoding="utf-8").replace(" \\\n", "")
    shown = re.findall(r"^\$ lit-project memory (.*)\n((?:(?!```).*\n)+)", text, re.MULTILINE)
    assert len(shown) == 3
    print_all = "import sys; from lit_project.__main__ import main; [main(line.split()) for line in sys.argv[1:]]"
    few = "memory --devices 8 9"
    printed = run([python, "-W", "ignore", "-c", print_all, *[f"memory {words}" for words, _ in shown], few], project)
    tables = "".join(table for _, table in shown)
    assert printed[: len(tables)] == tables
    assert re.search(
        r"^ddp +8 +1 .*\n(?:.*\n)+any +9 .* needs --data.batch_size 9", printed[len(tables) :], re.MULTILINE
    )
    assert not (project / "runs").exists()
