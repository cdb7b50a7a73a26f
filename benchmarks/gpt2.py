"""GPT-2 small on an accelerator: tokens per second and MFU of `fit` and of a plain loop over the same network.

From the template's folder, on a machine with a GPU; about ten minutes, most of them for compiling:

    python3 tools/uv.py run cookiecutter . --no-input --output-dir build project_slug=lit-language task=language
    python3 tools/uv.py run --directory build/lit-language python ../../benchmarks/gpt2.py [flags of fit]

Doubles the batch of the plain loop until it is no faster or does not fit, then measures both with the fastest one, in
turn. Prints a section, and on a GPU writes it to docs/speed.md of the template. To try this file on a CPU, in a minute
or two:

    ... python ../../benchmarks/gpt2.py --preset cpu --trainer.precision bf16-mixed --model.network.width 64 \\
        --model.network.depth 2 --model.network.heads 2 --data.context 64 --trainer.accumulate_grad_batches 2
"""

import copy
import gc
import platform
import shutil
import statistics
import sys
import time
from datetime import date
from itertools import count

import pytorch_lightning as pl
import torch
from lit_language.__main__ import main
from lit_language.engine.training.flops import StepFlops, matmul_flops, peak_flops
from lit_language.engine.training.parameter_groups import in_groups
from report import write_section
from torch.utils.data import DataLoader

FLAGS = ["--preset=gpt2", "--preset=gpu", *sys.argv[1:]]
WARM, STEPS = 1, 6  # optimizer steps: those before the clock, and all
ROUNDS = 3
SMALLEST_BATCH = 32
GAIN = 1.02  # how much faster a batch of twice the size has to be
PRECISION = "bf16-mixed"

TITLE = "GPT-2 small on an accelerator"
TEXT = """\
The preset `gpt2` of the language task{flags}: {weights:.1f}M weights, {context} bytes of context, in {precision},
compiled, with batches of {batch} windows, the fastest ones, {accumulate} of them for each step of the optimizer.
Measured on {day} by `benchmarks/gpt2.py`: {where}.

| | tokens per second | TFLOP/s | of a product of matrices | MFU |
|---|---|---|---|---|
{rows}

`fit` has {ratio:.3f} of the plain loop's speed: the median of {rounds} rounds, in turn. The loop has the same network,
loss, optimizer, clipping and batches, and reads the loss at each step of the optimizer. FLOPs are those of the forward
and the backward pass, as [PaLM](https://arxiv.org/abs/2204.02311) counts them. A large product of matrices in bfloat16
reaches {matmul:.3g} TFLOP/s on this device, and {peak}.

| batch of the plain loop | tokens per second | GiB allocated |
|---|---|---|
{search}
"""


class Parts(pl.Callback):
    """Keeps the model, its data and the settings that a plain loop needs too."""

    def on_train_start(self, trainer, pl_module):
        self.model, self.data = copy.deepcopy(pl_module), trainer.datamodule
        self.device, self.precision = trainer.strategy.root_device, trainer.precision
        self.accumulate, self.clip = trainer.accumulate_grad_batches, trainer.gradient_clip_val


class Clock(pl.Callback):
    """Looks at the time after the first steps and after the last one, when the device has done them."""

    def __init__(self):
        self.times = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx + 1 in (WARM * trainer.accumulate_grad_batches, STEPS * trainer.accumulate_grad_batches):
            self.times.append(now())


def now():
    """Seconds, once the device has done what it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


def flops_per_token(parts):
    """FLOPs of a training step for one token, the other one of a window being its context."""
    inputs, targets = (part.to(parts.device) for part in parts.data.train.batch([0]))
    counter = StepFlops(parts.model)
    parts.model.objective(parts.model.network(inputs), targets).backward()
    return counter.end() / inputs.numel()


def plain(parts, batch_size):
    """Tokens per second of a loop as people write it."""
    network, objective = copy.deepcopy(parts.model.network), copy.deepcopy(parts.model.objective)
    network.compile()
    objective.compile()
    optimizer = in_groups(parts.model.optimizer, network, None)
    on_gpu = parts.device.type != "cpu"
    loader = DataLoader(parts.data.train, batch_size, shuffle=True, drop_last=True, pin_memory=on_gpu)
    batches = (batch for _ in count() for batch in loader)
    for step in range(STEPS):
        if step == WARM:
            begun = now()
        for _ in range(parts.accumulate):
            inputs, targets = (part.to(parts.device, non_blocking=True) for part in next(batches))
            with torch.autocast(parts.device.type, torch.bfloat16, enabled=parts.precision == PRECISION):
                loss = objective(network(inputs), targets)
            (loss / parts.accumulate).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), parts.clip)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
    return (STEPS - WARM) * tokens_per_step(parts, batch_size) / (now() - begun)


def fit(parts, batch_size):
    """Tokens per second of `fit`, with every feature on."""
    clock = Clock()
    settings = [f"--data.batch_size={batch_size}", f"--trainer.max_steps={STEPS}"]
    main(["fit", "--run=speed", *FLAGS, "--preset=compile", *settings], [clock])
    shutil.rmtree("runs/speed")
    begun, ended = clock.times
    return (STEPS - WARM) * tokens_per_step(parts, batch_size) / (ended - begun)


def tokens_per_step(parts, batch_size):
    return batch_size * parts.data.context * parts.accumulate


def search(parts):
    """Tokens per second and GiB of the plain loop, by batch size, each twice the one before."""
    found = {}
    batch_size, best = SMALLEST_BATCH, 0.0
    while True:
        try:
            rate = afresh(plain, parts, batch_size)
        except torch.OutOfMemoryError:
            return found
        memory = torch.accelerator.max_memory_allocated() if torch.accelerator.is_available() else 0
        found[batch_size] = rate, memory / 2**30
        print(f"batch {batch_size}: {rate:,.0f} tokens per second", flush=True)
        if rate < GAIN * best:
            return found
        batch_size, best = 2 * batch_size, rate


def afresh(way, parts, batch_size):
    """Measure with no memory or compiled code of the measurement before."""
    gc.collect()
    torch.compiler.reset()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
        torch.accelerator.reset_peak_memory_stats()
    return way(parts, batch_size)


def page(parts, found, rates, flops):
    batch_size = max(found, key=lambda size: found[size][0])
    matmul = matmul_flops(parts.device, parts.precision)
    peak = peak_flops(parts.device, parts.precision)
    rows = []
    for way, of_rounds in rates.items():
        tokens = statistics.median(of_rounds)
        mfu = f"{tokens * flops / peak:.1%}" if peak else "-"
        rows.append(f"| {way} | {tokens:,.0f} | {tokens * flops / 1e12:.3g} | {tokens * flops / matmul:.1%} | {mfu} |")
    ratios = [ours / theirs for theirs, ours in zip(*rates.values(), strict=True)]
    return TEXT.format(
        flags=" with `" + " ".join(sys.argv[1:]) + "`" if sys.argv[1:] else "",
        weights=sum(weight.numel() for weight in parts.model.parameters()) / 1e6,
        context=parts.data.context,
        precision=parts.precision,
        batch=batch_size,
        accumulate=parts.accumulate,
        day=date.today(),
        where=f"{name_of(parts.device)}, torch {torch.__version__}, Lightning {pl.__version__}",
        rows="\n".join(rows),
        ratio=statistics.median(ratios),
        rounds=ROUNDS,
        matmul=matmul / 1e12,
        peak=f"its peak is {peak / 1e12:.4g}" if peak else "its peak is not known",
        search="\n".join(f"| {size} | {rate:,.0f} | {memory:.1f} |" for size, (rate, memory) in found.items()),
    )


def name_of(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {platform.machine()}"


if __name__ == "__main__":
    parts = Parts()
    main(["fit", *FLAGS, "--data.batch_size=1", "--trainer.fast_dev_run=1"], [parts])
    flops = flops_per_token(parts)
    found = search(parts)
    batch_size = max(found, key=lambda size: found[size][0])
    rates = {"plain loop": [], "`fit`, every feature on": []}
    for _ in range(ROUNDS):
        for (name, measured), way in zip(rates.items(), (plain, fit), strict=True):
            measured.append(afresh(way, parts, batch_size))
            print(f"{name}: {measured[-1]:,.0f} tokens per second", flush=True)
    text = page(parts, found, rates, flops)
    if parts.device.type == "cpu":
        print(f"\n{text}")
    else:
        write_section(TITLE, text)
