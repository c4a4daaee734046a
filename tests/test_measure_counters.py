"""Our MACs against two other counters, on real tensors, for every block, form and position.

PyTorch's own counter sees the operations of a run and must agree exactly; fused attention, which
its formulas lack on a CPU, is run as the two products it is. ptflops hooks into layers and knows
their hyperparameters only: it counts biases, which are taken off, and cannot see products outside
`nn.Conv2d` and `nn.Linear`. Where that makes a difference, `_OUTSIDE_LAYERS` says which operations
they are and why, and they must make up for all of it: a deviation that the table does not explain
fails, and so does an entry that explains nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from ptflops import get_model_complexity_info
from timm.layers.attention import Attention
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import list_available_blocks, to_deploy
from blockzoo.measure.complexity import count_macs, count_training_macs
from blockzoo.position import Position
from blockzoo.scaffold import ScaffoldConfig, ScaffoldNet
from blockzoo.theory import stage_input_shape

pytestmark = pytest.mark.slow
_CONFIG = ScaffoldConfig(width=32, depth=1)
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_CONVOLUTION, _PRODUCT, _BATCHED = "aten.convolution", "aten.mm", "aten.bmm"
_ATTENTION = (
    *("CPUBoneBlock", "EdgeNeXtSDTA", "EfficientViTCGA", "EfficientViTLiteMLA"),
    *("LowFormerBlock", "MobileNetV4MQA", "SHViTBlock"),
)
_OUTSIDE_LAYERS: dict[str, set[str]] = {
    # queries by keys, and weights by values
    **{block: {_BATCHED} for block in _ATTENTION},
    # ... and ptflops takes timm's Attention for one layer, so that it does not see those within
    "MobileViTBlock": {_BATCHED, "aten.addmm"},
    # the state space: states by tokens, and back
    "EfficientViMBlock": {_BATCHED},
    # attention by products of two matrices: global queries of SwiftFormer, channels of CSATv2
    "SwiftFormerEAA": {_PRODUCT},
    "CSATv2Block": {_PRODUCT},
    # kernels mixed from experts for each image: a product mixes, a functional convolution applies
    "CondConvMBConv": {_CONVOLUTION, _PRODUCT},
    "ODConvBasicBlock": {_CONVOLUTION},
    # functional convolutions with weights that are made in the forward pass
    "DBBBasicBlock": {_CONVOLUTION},
    "NFNetBlock": {_CONVOLUTION},
    "WTConvNeXtBlock": {_CONVOLUTION},
}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """MACs by torch's counter, of them those outside layers by operation, and bias additions."""

    macs: int
    outside: dict[str, int]
    biases: int


def forms(block: str, position: Position) -> Iterator[tuple[str, nn.Module, Tensor]]:
    stage = ScaffoldNet(block, position, _CONFIG).stage(position).eval()
    images = torch.randn(1, *stage_input_shape(position, _CONFIG))
    yield "train", stage, images
    yield "deploy", to_deploy(stage).eval(), images


def by_torch(module: nn.Module, images: Tensor) -> Counted:
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), biases_added(module) as biases, torch.no_grad(), counter:
        module(images)
    counts, top = counter.get_flop_counts(), type(module).__name__
    outside = {str(name): flops for name, flops in counts.get("Global", {}).items()}
    for name in seen_layers(module):
        for operation, flops in counts.get(f"{top}.{name}", {}).items():
            outside[str(operation)] -= flops
    return Counted(
        macs=counter.get_total_flops() // 2,
        outside={name: flops // 2 for name, flops in outside.items() if flops},
        biases=sum(biases),
    )


def seen_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that ptflops sees, by name."""
    parts = dict(module.named_modules())
    closed = tuple(f"{name}." for name, part in parts.items() if type(part) is Attention)
    return {
        name: part
        for name, part in parts.items()
        if type(part) in _LAYERS and not name.startswith(closed)
    }


@contextmanager
def biases_added(module: nn.Module) -> Iterator[list[int]]:
    added: list[int] = []

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        if getattr(layer, "bias", None) is not None:
            added.append(output.numel())

    handles = [layer.register_forward_hook(note) for layer in seen_layers(module).values()]
    yield added
    for handle in handles:
        handle.remove()


def by_ptflops(module: nn.Module, images: Tensor) -> int:
    others = [type(part) for part in module.modules() if type(part) not in _LAYERS]
    macs, _ = get_model_complexity_info(
        module,
        tuple(images.shape[1:]),
        input_constructor=lambda _: {"input": images},
        print_per_layer_stat=False,
        as_strings=False,
        ignore_modules=others,
        backend="pytorch",
        backend_specific_config={"count_functional": False},
        ost=io.StringIO(),
    )
    assert macs is not None
    return int(macs)


@pytest.mark.parametrize("block", list_available_blocks())
def test_two_other_counters_agree(block: str) -> None:
    outside = set()
    for position in Position:
        for form, module, images in forms(block, position):
            ours, torchs = count_macs(module, images), by_torch(module, images)
            layers = by_ptflops(module, images) - torchs.biases
            assert torchs.macs == ours, f"{form}, {position}"
            assert layers + sum(torchs.outside.values()) == ours, f"{form}, {position}"
            outside |= set(torchs.outside)
    assert outside == _OUTSIDE_LAYERS.get(block, set())


def test_the_table_names_blocks_of_the_zoo() -> None:
    assert set(_OUTSIDE_LAYERS) <= set(list_available_blocks())


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("first", [True, False])
def test_the_backward_pass_of_a_grouped_convolution_by_hand(groups: int, first: bool) -> None:
    """16 to 24 channels, 3x3, on 5x7 positions: each output sums over 16/groups x 9 products.

    The gradient of the weights sums, for each of them, over all positions; that of the input, for
    each of its elements, over the 24/groups x 9 outputs it went into (padding counted like the
    rest). Each is as many products as the forward pass, whatever the groups; torch's own counter
    takes the gradient of the weights for `groups` times as many.
    """
    layer = nn.Conv2d(16, 24, 3, padding=1, groups=groups, bias=False)
    images = torch.randn(2, 16, 5, 7, requires_grad=not first)
    forward = 2 * 24 * 35 * (16 // groups) * 9
    for_weights = (24 * (16 // groups) * 9) * 2 * 35
    for_input = (2 * 16 * 35) * (24 // groups) * 9
    assert for_weights == for_input == forward
    expected = forward + for_weights + (0 if first else for_input)
    assert count_training_macs(layer, images) == expected
    with FlopCounterMode(display=False) as counter:
        layer(images).sum().backward()
    torchs = counter.get_total_flops() // 2
    assert torchs == expected + (groups - 1) * forward


def test_the_gradients_of_a_grouped_convolution_are_convolutions_of_that_size() -> None:
    """The two backward products, written out as forward convolutions, give autograd's gradients."""
    groups, size = 3, 6
    images = torch.randn(1, 6, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    output = nn.functional.conv2d(images, weight, padding=1, groups=groups)
    upstream = torch.randn_like(output)
    output.backward(upstream)  # type: ignore[no-untyped-call]
    # for the input: outputs, group by group, with the kernels turned around
    turned = weight.detach().flip(2, 3).reshape(groups, 3, 2, 3, 3).transpose(1, 2)
    turned = turned.reshape(6, 3, 3, 3)
    for_input = nn.functional.conv2d(upstream, turned, padding=1, groups=groups)
    torch.testing.assert_close(for_input, images.grad)
    backward = count_macs(Grouped(turned, groups), upstream)
    assert backward == count_macs(Grouped(weight.detach(), groups), images.detach())


class Grouped(nn.Module):
    """A 3x3 convolution with these weights."""

    def __init__(self, weight: Tensor, groups: int) -> None:
        super().__init__()
        self.weight, self.groups = weight, groups

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.device)
        return nn.functional.conv2d(x, weight, padding=1, groups=self.groups)
