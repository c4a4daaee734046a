"""Our MACs of every block, form and position against three other counts, on real tensors.

PyTorch's own counter and the ATen backend of ptflops see the operations of a run and must agree
exactly; fused attention, which their formulas lack on a CPU, is run as the two products it is, and
what it hides when it is run fused must be in `_FUSED`. ptflops hooks into layers too and then
knows their hyperparameters only: it cannot see products outside `nn.Conv2d` and `nn.Linear`.
Where that makes a difference, `_OUTSIDE_LAYERS` says which operations they are and why, and they
must make up for all of it. ptflops counts an addition per output value where there is a bias; those
are taken off. A deviation that no table explains fails, and so does an entry that explains nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from ptflops import get_model_complexity_info
from timm.layers.attention import Attention
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import list_available_blocks, to_deploy
from blockzoo.core.position import Position
from blockzoo.experiments.theory import stage_input_shape
from blockzoo.measure.costs.complexity import Complexity, count_complexity
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

aten = torch.ops.aten
_DEPTH = 2
_CONFIG = ScaffoldConfig(width=64, depth=_DEPTH)
"""In the middle 64 channels on 32 x 32 places become 128 on 16 x 16, in the first of two blocks."""
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_CONVOLUTION, _PRODUCT, _BATCHED = "aten.convolution", "aten.mm", "aten.bmm"
_ATTENTION = (
    *("CPUBoneBlock", "EdgeNeXtSDTA", "EfficientViTCGA", "EfficientViTLiteMLA"),
    *("LowFormerBlock", "MobileNetV4MQA", "SHViTBlock", "A2C2f", "MobileNetV5Block", "iRMB"),
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
    # attention beside kernels mixed for each image
    "TransXNetDMixer": {_BATCHED, _CONVOLUTION},
    # functional convolutions with weights that are made in the forward pass
    "DBBBasicBlock": {_CONVOLUTION},
    "NFNetBlock": {_CONVOLUTION},
    "WTConvNeXtBlock": {_CONVOLUTION},
}


_FUSED: dict[str, int] = {
    # 16 x 16 queries, 8 x 8 keys (their stride is 2), heads of 128 channels in all
    "MobileNetV4MQA": _DEPTH * 2 * 256 * 64 * 128,
    # two layers: 4 sequences of 8 x 8 patches, 192 channels in all heads
    "MobileViTBlock": _DEPTH * 2 * 2 * 4 * 64 * 64 * 192,
    # not in the block that strides: 3 x 3 windows of 7 x 7 places, 128 channels in all heads
    "iRMB": 2 * 9 * 49 * 49 * 128,
}
"""MACs in the middle that torch's counter misses where attention is one kernel of the CPU."""

_UNCOUNTED: dict[str, dict[str, int]] = {
    # global response normalisation: the norm of 512 hidden channels over 16 x 16 places
    "ConvNeXtV2Block": {"aten.linalg_vector_norm": _DEPTH * 512 * 256},
    "CSATv2Block": {"aten.linalg_vector_norm": _DEPTH * 512 * 256},
    "UniRepLKNetLarK": {"aten.linalg_vector_norm": _DEPTH * 512 * 256},
    # attention between channels: the norms of queries and keys
    "EdgeNeXtSDTA": {"aten.linalg_vector_norm": _DEPTH * 2 * 128 * 256},
    # additive attention: the norms of queries, of keys and of one weight per place
    "SwiftFormerEAA": {"aten.linalg_vector_norm": _DEPTH * (2 * 128 + 1) * 256},
    # nine points per place and channel, each mixed from four neighbours
    "InternImageDCNv3": {"aten.grid_sampler_2d": _DEPTH * 4 * 9 * 128 * 256},
    "UniConvNetBlock": {"aten.grid_sampler_2d": _DEPTH * 4 * 9 * 128 * 256},
    # windows of 3 x 3 in all channels
    "LSConvBlock": {"aten.im2col": _DEPTH * 9 * 128 * 256},
    # windows of 7 x 7 in a quarter of the channels
    "RedNetInvolution": {"aten.im2col": _DEPTH * 49 * 32 * 256},
}
"""By block: operations in the middle that nobody counts, and their MACs by documented formulas."""

# Of the zoo, one per kind of deviation, and one without, are checked by default.
_ALWAYS = {"ResNetBasicBlock", "MobileNetV4MQA", "CondConvMBConv", "RedNetInvolution"}
BLOCKS = [
    name if name in _ALWAYS else pytest.param(name, marks=pytest.mark.slow)
    for name in list_available_blocks()
]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """MACs by torch's counter, of them those outside layers by operation, and bias additions."""

    macs: int
    outside: dict[str, int]
    biases: int


class BiasAdditions(TorchDispatchMode):
    """Counts output values of operations that add a bias."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        operation = func._overloadpacket
        if operation is aten.addmm or (operation is aten.convolution and args[2] is not None):
            self.total += output.numel()
        return output


def forms(block: str, position: Position) -> Iterator[tuple[str, nn.Module, Tensor]]:
    placement = Placement.of(block, position, _CONFIG)
    stage = placement.build().stage(position).eval()
    images = torch.randn(1, *stage_input_shape(placement))
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


def by_ptflops_layers(module: nn.Module, images: Tensor) -> int:
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


def by_ptflops_operations(module: nn.Module, images: Tensor) -> int:
    """Return what ptflops counts of the run, without the additions of biases."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with BiasAdditions() as biases:
            module(images)
        macs, _ = get_model_complexity_info(
            module,
            tuple(images.shape[1:]),
            input_constructor=lambda _: {"input": images},
            print_per_layer_stat=False,
            as_strings=False,
            backend="aten",
            ost=io.StringIO(),
        )
    assert isinstance(macs, int)
    return int(macs) - int(biases.total)


def missed_by_torch(module: nn.Module, images: Tensor) -> int:
    """Return the MACs that torch's counter does not see where attention is fused."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(images)
    return by_torch(module, images).macs - int(counter.get_total_flops()) // 2


@pytest.mark.parametrize("block", BLOCKS)
def test_the_other_counters_agree(block: str) -> None:
    outside = set()
    for position in Position:
        for form, module, images in forms(block, position):
            ours, torchs = count_complexity(module, images), by_torch(module, images)
            where = f"{form}, {position}"
            assert torchs.macs == ours.macs, where
            assert by_ptflops_operations(module, images) == ours.macs, where
            layers = by_ptflops_layers(module, images) - torchs.biases
            assert layers + sum(torchs.outside.values()) == ours.macs, where
            assert set(ours.uncounted) == set(ours.uncounted_macs), where
            outside |= set(torchs.outside)
    assert outside == _OUTSIDE_LAYERS.get(block, set())


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_others_miss_is_in_the_tables(block: str) -> None:
    counts = Complexity(macs=0, training_macs=0, uncounted=())
    for form, module, images in forms(block, Position.MID):
        assert missed_by_torch(module, images) == _FUSED.get(block, 0), form
        counts = count_complexity(module, images)
    assert counts.uncounted_macs == _UNCOUNTED.get(block, {})  # of the deploy form


def test_the_tables_name_blocks_of_the_zoo() -> None:
    zoo = set(list_available_blocks())
    assert set(_OUTSIDE_LAYERS) | set(_FUSED) | set(_UNCOUNTED) | _ALWAYS <= zoo
    assert min(_FUSED.values()) > 0
