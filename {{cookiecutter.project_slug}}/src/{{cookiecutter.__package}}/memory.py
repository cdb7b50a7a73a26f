"""How much memory a training takes on each device, told in seconds on any computer, before it is taken."""

import math
import warnings
from functools import cache
from itertools import chain
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.cli import LightningArgumentParser, instantiate_module
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.func import functional_call

from . import objective
from .arguments import parse, with_presets
from .checkpoints import RunError
from .cli import CLI
from .data import DataModule
from .model import Model
from .sharding import blocks

DTYPES = {"16": torch.float16, "bf16": torch.bfloat16, "32": torch.float32, "64": torch.float64}
COLUMNS = ("strategy", "devices", "samples", "parameters", "gradients", "optimizer", "activations", "total")
ROW = "{:10} {:>7} {:>7} {:>10} {:>9} {:>9} {:>11} {:>8}"


def main(args: list[str]) -> None:
    """Print what lies on one device under each strategy, with the settings that `fit` would take.

    A device's share of `data.batch_size` is rounded up. `fit` refuses less than one sample a device, and so does the
    row; with `--per_device`, each device has so many, whatever `data.batch_size` is.
    """
    config = Settings(["fit", *args]).config.fit
    try:
        training = Training(config)
        host = readable(training.count * torch.float32.itemsize)
        print(f"{training.count:,} parameters, precision {training.precision}")
        print(f"host memory, before they are sharded: {host} for each process\n\n{ROW.format(*COLUMNS)}")
        for devices in config.devices:
            batch = config.per_device * devices if config.per_device else config.data.batch_size
            if batch < devices:
                print(f"{'any':10} {devices:7}       - needs --data.batch_size {devices} or more")
                continue
            samples = math.ceil(batch / devices)
            for strategy, sizes in training.needs(devices, samples).items():
                print(ROW.format(strategy, devices, samples, *map(readable, [*sizes, sum(sizes)])))
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise RunError(f"the network looks at values, and only their sizes are known: {error}") from error
    except ValueError as error:  # a constructor's view of its arguments
        raise RunError(str(error)) from error


def readable(size: float) -> str:
    power = min(int(math.log2(max(size, 1))) // 10, 4)
    number = size / 1024**power
    return f"{number:.{int(number < 100 and power > 0)}f} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}"


class Settings(CLI):
    """The settings of `fit`, and no run."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--devices", type=PositiveInt, nargs="+", default=[1, 8, 64, 1000], help="A row for each")
        parser.add_argument("--per_device", type=PositiveInt | None, help="Samples on each device")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parse(parser, with_presets(args))

    def _nothing(self, subcommand: str = "") -> None:
        """In place of each step of a run."""

    before_instantiate_classes = instantiate_classes = _set_seed = _run_subcommand = _nothing


class Training:
    """The project's model and batches without their values.

    The model is on the meta device. For the forward pass it is given FakeTensors, which have shapes, dtypes and
    storages, and go through the operators of the CPU: scaled_dot_product_attention keeps its inputs, its output and
    a number for each row, as the fused kernels of CUDA do. On the meta device it would keep all (time, time) scores.
    """

    def __init__(self, config: Namespace) -> None:
        self.precision = str(config.trainer.precision or "32-true")
        name, _, kind = self.precision.partition("-")
        if name not in DTYPES:
            raise RunError(f"the memory of --trainer.precision {self.precision} is not known")
        self.computed = DTYPES[name]
        mixed = kind == "mixed" or self.precision in ("16", "bf16")
        self.stored = torch.float32 if mixed else self.computed
        self.sample = one_sample(config.data)
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on hyperparameters, which matter to checkpoints
            self.model = instantiate_module(Model, config.model.as_dict()).to(self.stored)
        self.count = elements(self.model)
        self.trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.state = self._optimizer_state()
        self.activations = cache(self._activations)

    def needs(self, devices: int, samples: int) -> dict[str, tuple[float, float, float, float]]:
        """Bytes for parameters, gradients, the optimizer's state and activations on one of so many devices.

        They are those at the end of the forward pass, when the gradients of the step before are still there.
        deepspeed: stage 2 of ZeRO (Rajbhandari et al. 2020, https://arxiv.org/abs/1910.02054), with all parameters
        in the precision of the computation; the optimizer's float32 copy of them, state and gradients are in shards.
        fsdp: all in shards; beside them what lies outside of the blocks is whole, as are two blocks, one at work and
        one on its way, and one part's gradients.
        """
        low, full, master = self.computed.itemsize, self.stored.itemsize, max(4, self.stored.itemsize)
        kept = self.activations(samples, self.stored)
        if devices == 1:
            return {"one device": (self.count * full, self.trained * full, self.state, kept)}
        kept_low = self.activations(samples, self.computed)
        block = max(map(elements, blocks(self.model.network)), default=0)
        outside = self.count - sum(map(elements, blocks(self.model.network)))
        whole = (outside + 2 * block) * low, max(outside, block) * (low + full)
        shards = [size / devices for size in (self.count * full, self.trained * full, self.state)]
        copied = (self.trained + self.state / full) * master / devices
        return {
            "ddp": (self.count * full, self.trained * full, self.state, kept),
            "deepspeed": (self.count * low, self.trained * low / devices, copied, kept_low),
            "fsdp": (shards[0] + whole[0], shards[1] + whole[1], shards[2], kept_low),
        }

    def _optimizer_state(self) -> int:
        """Bytes that the optimizer keeps from its first step on."""
        optimizer = self.model.optimizer(self.model.parameters())
        for parameter in self.model.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        try:
            optimizer.step()
        except (RuntimeError, TypeError) as error:
            name = type(optimizer).__name__
            raise RunError(f"{name} looks at values, and only their sizes are known: {error}") from error
        return sum(s.nbytes for state in optimizer.state.values() for s in state.values() if isinstance(s, Tensor))

    def _activations(self, samples: int, dtype: torch.dtype) -> int:
        """Bytes kept for the backward pass, with parameters of this dtype; each storage counts once.

        Parameters do not count, but the copies that autocast makes of them do.
        """
        kept = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
            return tensor

        def like(tensor: Tensor, *shape: int) -> Tensor:
            converted = tensor.is_floating_point() and dtype is not torch.float32
            return torch.empty(shape or tensor.shape, dtype=dtype if converted else tensor.dtype)

        autocast = torch.autocast("cpu", self.computed, enabled=self.computed is not self.stored)
        with FakeTensorMode(), autocast, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            tensors = chain(self.model.named_parameters(), self.model.named_buffers())
            own = {name: like(tensor).requires_grad_(tensor.requires_grad) for name, tensor in tensors}
            inputs, targets = apply_to_collection(self.sample, Tensor, lambda t: like(t, samples, *t.shape[1:]))
            outputs = functional_call(self.model, own, inputs)
            _ = objective.loss(outputs, targets)
            apply_to_collection(outputs, Tensor, keep)  # model.py holds them until it returns the loss
        for tensor in own.values():
            kept.pop(tensor.untyped_storage()._cdata, None)
        return sum(storage.nbytes() for storage in kept.values())


def elements(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def one_sample(settings: Namespace) -> Any:
    """A batch of one from the project's own data."""
    small = {"batch_size": 1, "num_workers": 0}
    datamodule = instantiate_module(DataModule, {name: small.get(name, value) for name, value in settings.items()})
    datamodule.prepare_data()
    datamodule.setup("fit")
    return next(iter(datamodule.train_dataloader()))
