"""The command `memory`."""

import math
from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from pytorch_lightning.cli import instantiate_module

from ..devices.memory import Training, readable
from ..errors import RunError, require
from .bounds import flags_in_full, refuse_out_of_bounds
from .caller import unchanged_torch
from .library_errors import as_mistake
from .mistakes import parse
from .project import Parts, Project
from .settings import folder_flags, training_parser

COLUMNS = ("strategy", "devices", "samples", "parameters", "gradients", "optimizer", "activations", "total")
ROW = "{:10} {:>7} {:>7} {:>10} {:>9} {:>9} {:>11} {:>8}"


@unchanged_torch()
def main(args: list[str], project: Project) -> None:
    """Estimate what lies on one device under each strategy, with the settings that `fit` would take.

    A device's share of `data.batch_size` is rounded up. `fit` refuses less than one sample a device, and so does the
    row; with `--per_device`, each device has so many, whatever `data.batch_size` is.
    """
    parts = project.load_parts()
    parser = training_parser(project, parts, "memory")
    parser.description = main.__doc__
    parser.add_argument("--devices", type=PositiveInt, nargs="+", default=[1, 8, 64, 1000], help="A row for each")
    parser.add_argument("--per_device", type=PositiveInt | None, help="Samples on each device")
    config = parse(parser, [*folder_flags(project, parts), *args[1:]])
    if "batch_size" not in config.data and not config.per_device:
        raise RunError("the DataModule has no argument batch_size", "--per_device, the samples on each device")
    precision = str(config.trainer.precision or "32-true")
    try:
        with flags_in_full(lambda: config):
            refuse_out_of_bounds(config, "memory")
            require(batch_size=config.data.get("batch_size"), at_least=1)  # small_batch has another one
            batch = small_batch(parts, config.data)
            training = Training(lambda: instantiate_module(parts.model, config.model.as_dict()), batch, precision)
            print_table(training, precision, config)
    except ValueError as error:  # a constructor's view of its arguments
        raise (as_mistake(error, project.folder) or RunError(str(error))) from error


def small_batch(parts: Parts, settings: Namespace) -> Any:
    """A batch of one from the project's own data, or as small as its DataModule makes it."""
    small = {"batch_size": 1, "num_workers": 0}
    data: Any = instantiate_module(parts.data, {name: small.get(name, value) for name, value in settings.items()})
    data.prepare_data()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def print_table(training: Training, precision: str, config: Namespace) -> None:
    host_memory = readable(training.parameters * 4)  # in float32
    print(f"{training.parameters:,} parameters, precision {precision}")
    print(f"host memory, before they are sharded: {host_memory} for each process\n\n{ROW.format(*COLUMNS)}")
    for devices in config.devices:
        batch_size = config.per_device * devices if config.per_device else config.data.batch_size
        if batch_size < devices:
            print(f"{'any':10} {devices:7}       - needs --data.batch_size {devices} or more")
            continue
        samples = math.ceil(batch_size / devices)
        for strategy, sizes in training.sizes(devices, samples).items():
            print(ROW.format(strategy, devices, samples, *map(readable, [*sizes, sum(sizes)])))
