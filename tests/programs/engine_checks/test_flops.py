"""FLOPs of a training step: those of closed forms, and a training that does not notice that they are counted."""

import pytest
import torch
from conftest import same
from lit_project.engine.training.flops import StepFlops, peak_flops
from torch import nn
from torch.utils.checkpoint import checkpoint

BATCH, TIME, WIDTH, HIDDEN = 4, 7, 16, 32


class Holder(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network


def counted(network, *inputs):
    """FLOPs of one call and its backward pass."""
    holder = Holder(network)
    flops = StepFlops(holder)
    holder.network(*inputs).sum().backward()
    return flops.end()


def test_linear_layer_has_two_flops_a_weight_and_sample_and_its_weights_as_many_again():
    assert counted(nn.Linear(WIDTH, HIDDEN), torch.zeros(BATCH, WIDTH)) == 2 * 2 * BATCH * WIDTH * HIDDEN


def test_convolution():
    flops = counted(nn.Conv2d(3, 8, kernel_size=3, padding=1), torch.zeros(2, 3, 10, 10))
    assert flops == 2 * 2 * (2 * 100) * (3 * 8 * 9)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_transformer_block_has_six_flops_a_weight_and_token_and_its_attention(is_compiled):
    block = nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, batch_first=True)
    if is_compiled:
        block.compile(backend="eager")
    flops = counted(block, torch.zeros(BATCH, TIME, WIDTH, requires_grad=True))
    weights = 4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN
    # Chowdhery et al. 2022, appendix B: 6 N + 12 L H Q T a token
    assert flops == BATCH * TIME * (6 * weights + 12 * WIDTH * TIME)


def test_compiled_network_is_called_as_before():
    holder = Holder(torch.nn.Linear(2, 2))
    holder.network.compile(backend="eager")
    compiled = holder.network._compiled_call_impl
    StepFlops(holder).end()
    assert holder.network._compiled_call_impl is compiled


def test_frozen_parts_have_no_gradients_to_compute():
    network = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))
    network[0].requires_grad_(False)
    assert counted(network, torch.zeros(1, WIDTH)) == (1 + 2) * 2 * WIDTH * WIDTH


def test_teacher_without_gradients_is_counted_once():
    teacher = Holder(nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, batch_first=True), 1).eval())
    flops = StepFlops(teacher)
    with torch.no_grad():
        teacher.network(torch.zeros(BATCH, TIME, WIDTH))
    weights = 4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN
    assert flops.end() == BATCH * TIME * (2 * weights + 4 * WIDTH * TIME)


def test_activation_checkpointing_adds_nothing():
    class Checkpointed(nn.Linear):
        def forward(self, inputs):
            return checkpoint(super().forward, inputs, use_reentrant=False)

    networks = [nn.Sequential(nn.Linear(8, 8), kind(8, 8)) for kind in (nn.Linear, Checkpointed)]
    plain, checkpointed = (counted(network, torch.zeros(3, 8, requires_grad=True)) for network in networks)
    assert plain == checkpointed == 3 * 2 * 2 * 3 * 8 * 8


def test_all_calls_of_all_networks_are_counted():
    module = nn.Module()
    module.heads = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
    flops = StepFlops(module)
    for samples in (1, 1, 5):
        for head in module.heads:
            head(torch.zeros(samples, 8))
    assert flops.end() == 2 * 7 * 2 * 2 * 8 * 8


class LooksAtValues(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs) if inputs.sum() >= 0 else inputs


@pytest.mark.parametrize("network", [LooksAtValues(8, 8), nn.Sequential(nn.Linear(8, 8), nn.GRU(8, 8)), nn.PReLU()])
def test_what_cannot_be_known_is_none(network):
    holder = Holder(network)
    flops = StepFlops(holder)
    holder.network(torch.zeros(3, 8))
    assert flops.end() is None


class Forgetful(nn.Sequential):
    """Keeps what it computes, and has statistics, noise and a hook."""

    def __init__(self):
        super().__init__(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout())
        self.seen = []
        self[0].register_forward_hook(lambda *args: self.seen.append(args[2]))

    def forward(self, inputs):
        self.kept = super().forward(inputs)
        return self.kept


def test_training_does_not_notice():
    ends = []
    for is_counted in (False, True):
        torch.manual_seed(0)
        holder = Holder(Forgetful())
        flops = StepFlops(holder) if is_counted else None
        holder.network(torch.rand(4, 8)).sum().backward()
        assert flops is None or flops.end() == 2 * 2 * 4 * 8 * 8
        network = holder.network
        gradients = {name: weight.grad for name, weight in network.named_parameters()}
        ends.append((network.state_dict(), gradients, dict(enumerate([network.kept, *network.seen, torch.rand(3)]))))
        assert type(network.kept) is torch.Tensor
    for without, counted in zip(*ends, strict=True):
        assert same(without, counted)


def test_processor_has_no_known_peak():
    assert peak_flops(torch.device("cpu"), "32-true") is None


def test_peak_is_that_of_the_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-80GB")
    assert peak_flops(torch.device("cuda"), "bf16-mixed") == 312e12
    assert peak_flops(torch.device("cuda"), "transformer-engine") is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")  # not so in Lightning's table
    assert peak_flops(torch.device("cuda"), "16-mixed") == 989e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Unheard-of 9000")
    assert peak_flops(torch.device("cuda"), "bf16-mixed") is None
