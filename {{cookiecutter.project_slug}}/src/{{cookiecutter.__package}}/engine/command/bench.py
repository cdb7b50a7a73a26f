"""The command `bench`."""

import math
import sys
import tempfile
from dataclasses import replace

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature

from ..devices.memory import readable
from ..errors import RunError, Stopped
from ..saving.sharded_strategy import Sharded
from ..training.bench import Bench, Measured, Step
from ..training.display import say
from ..training.flops import matmul_flops, peak_flops
from . import reports, stages
from .advice import advice
from .arguments import split_run_flags
from .choice import choose
from .project import Project
from .settings import training_parser

# The training that is measured shows nothing, and is not stopped early.
SETTINGS = (
    *("--logger=csv", "--trainer.logger=true"),
    *("--early_stopping=null", "--progress_bar=null", "--model_summary=null"),
)
NOISY = 1.3  # Step.spread from which on the figures are rough
ROWS = {
    "data": "waiting for batches",
    "transfer": "to the device, with the hooks of a batch",
    "forward": "the loss",
    "backward": "its gradients",
    "optimizer": "with clipping",
    "logging": "log() and metrics",
}


def main(args: list[str], project: Project) -> None:
    """Measure where the time of a training step goes, with the settings that `fit` would take.

    It trains for some seconds in a folder that it removes, and leaves nothing behind. In turns with the training, it
    makes steps as a plain loop would, over the same data, and measures their parts. What `fit` adds is Lightning's. A
    step is one batch, also where gradients are accumulated. All times are those of a clock on the wall.
    """
    parts = project.load_parts()
    if {"-h", "--help"} & set(args):
        parser = training_parser(project, parts, "bench")
        parser.description = main.__doc__
        parser.parse_args(["--help"])
    run_flags, _ = split_run_flags(args[1:], project)
    if run_flags.run or run_flags.fresh or run_flags.ckpt_path:
        hint = "--config runs/NAME/config.yaml, for the settings of a run"
        raise RunError("bench goes on with no run, and leaves none: it takes no --run, --fresh or --ckpt_path", hint)
    measuring = replace(project, callbacks=[*project.callbacks, Bench()])
    with tempfile.TemporaryDirectory(prefix=f"{project.program}-bench-") as folder:
        fit = ["fit", *args[1:], *SETTINGS, "--runs", folder]
        try:
            stages.run_stage(choose(fit, project), fit, measuring, OneProcess)
        except Measured as measured:
            print("\n".join(report(measured.step, measured.trainer, project)))
        except Stopped as stopped:
            sys.exit(128 + stopped.signum)


class OneProcess(stages.CLI):
    """The command line of `fit`, for a training whose steps can be made without Lightning."""

    def before_fit(self) -> None:
        strategy = self.trainer.strategy
        if self.trainer.world_size > 1:
            raise RunError("bench measures one process", "--trainer.devices 1 --trainer.num_nodes 1")
        if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy | Sharded):
            raise RunError(f"bench cannot take a step of {type(strategy).__name__} apart", "--trainer.strategy auto")
        if is_param_in_hook_signature(self.model.training_step, "dataloader_iter", explicit=True):
            raise RunError("bench cannot take a training_step apart that fetches its batches itself")
        say("Measures for about 20 seconds.")

    def after_fit(self) -> None:
        raise RunError("the training ended before bench could measure a step")


def report(step: Step, trainer: pl.Trainer, project: Project) -> list[str]:
    """The lines to print, of 80 columns at most."""
    fit, loop = step.measured
    size = f"; {reports.count(round(step.samples), 'sample')} a step" if step.samples else ""
    lines = [
        reports.devices(trainer),
        f"measured: {fit} steps of fit, {loop} of a plain loop{size}",
        f"\n{'ms a step':>23} {'share':>6}",
    ]
    rows = {name: (step.parts[name], text) for name, text in ROWS.items()}
    has_ends = trainer.num_training_batches < 3  # each step, or each other one, ends an epoch
    callbacks = "its loop, callbacks and ends of epochs" if has_ends else "its loop and callbacks"
    rows["Lightning"] = (step.rest, f"{callbacks}: the rest")
    whole = "a step of fit"
    if step.between is None:
        whole += "; no epoch has ended meanwhile"
    else:
        rows["epoch ends"] = (step.between, "validation" if has_ends else "validation, saving and loading anew, a step")
    rows["in all"] = (step.total, whole)
    lines += [f"{name:13}{1000 * s:10.3f} {s / step.total:6.1%}  {text}" for name, (s, text) in rows.items()]
    lines += ["", *speed(step, trainer), *memory(trainer), f"{'first step':13}{step.first:.2g} s"]
    if step.spread > NOISY:
        lines += [f"{'noise':13}computing took {step.spread:.1f} times as long at times: is the machine busy?"]
    return [*lines, "", f"{'advice':13}{advice(step, trainer, project)}"]


def speed(step: Step, trainer: pl.Trainer) -> list[str]:
    loop = step.compute + step.parts["data"] + step.parts["transfer"]
    rates = [(step.samples, "samples"), (step.tokens, "tokens")]
    texts = [f"{number / step.total:,.0f} {unit}/s" for number, unit in rates if number]
    ratios = f"{loop / step.total:.2f} of a plain loop's, {step.compute / step.total:.2f} of compute's alone"
    lines = [f"{'speed':13}{', '.join(texts) or f'{1 / step.total:.3g} steps/s'}", f"{'':13}{ratios}"]
    if step.flops is None:
        return [*lines, f"{'FLOPs':13}unknown: no network, one that looks at values, or an RNN"]
    device, precision = trainer.strategy.root_device, str(trainer.precision)
    rate, peak = step.flops / step.total, peak_flops(device, precision)
    lines += [f"{'FLOPs':13}{scaled(step.flops)}FLOP a step, {scaled(rate)}FLOP/s"]
    if peak:
        lines += [f"{'MFU':13}{rate / peak:.1%} of the device's {scaled(peak)}FLOP/s"]
    reached = rate / matmul_flops(device, precision)
    return [*lines, f"{'':13}{reached:.2g} of what a product of large matrices reaches here"]


def memory(trainer: pl.Trainer) -> list[str]:
    texts = []
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        texts.append(f"{readable(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)} of the process")
    device = trainer.strategy.root_device
    if device.type == "cuda":
        texts.append(f"{readable(torch.cuda.max_memory_allocated(device))} on the device")
    return [f"{'memory':13}{', '.join(texts)}, at most"] if texts else []


def scaled(number: float) -> str:
    """Such as "12.3 G", of FLOPs."""
    power = min(int(math.log10(max(number, 1))) // 3, 5)
    return f"{number / 1000**power:.3g} {['', 'K', 'M', 'G', 'T', 'P'][power]}"
