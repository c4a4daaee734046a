"""Our multiply-accumulates of every registered block against two other counters.

The others are `torch.utils.flop_counter` and the ATen backend of ptflops, on real tensors. ptflops
also counts one addition per output value where a convolution or a linear layer has a bias; those
are taken off. What is left has to be in the table below, to the last operation, and nothing may be
there that no longer deviates.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import ptflops
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import get_block, list_available_blocks, to_deploy
from blockzoo.measure.complexity import Complexity, count_complexity
from blockzoo.position import Position

pytestmark = pytest.mark.slow

aten = torch.ops.aten
_SHAPE = (64, 32, 32)

_FUSED_ATTENTION = "two products per head in one fused kernel of the CPU, which neither knows"
_DEVIATIONS: dict[str, tuple[str, int]] = {
    # Three blocks: 16 x 16 queries, 8 x 8 keys (their stride is 2), heads of 128 channels in all.
    "MobileNetV4MQA": (_FUSED_ATTENTION, 3 * 2 * 256 * 64 * 128),
    # Three blocks of two layers: 4 sequences of 8 x 8 patches, 192 channels in all heads.
    "MobileViTBlock": (_FUSED_ATTENTION, 3 * 2 * 2 * 4 * 64 * 64 * 192),
}
"""By block: why the two others count less, and how many MACs less."""

_UNCOUNTED: dict[str, dict[str, int]] = {
    # Global response normalisation: the norm of 512 hidden channels over 16 x 16 places.
    "ConvNeXtV2Block": {"aten.linalg_vector_norm": 3 * 512 * 256},
    "CSATv2Block": {"aten.linalg_vector_norm": 3 * 512 * 256},
    "UniRepLKNetLarK": {"aten.linalg_vector_norm": 3 * 512 * 256},
    # Attention between channels: the norms of queries and keys.
    "EdgeNeXtSDTA": {"aten.linalg_vector_norm": 3 * 2 * 128 * 256},
    # Additive attention: the norms of queries, of keys and of one weight per place.
    "SwiftFormerEAA": {"aten.linalg_vector_norm": 3 * (2 * 128 + 1) * 256},
    # Nine points per place and channel, each mixed from four neighbours.
    "InternImageDCNv3": {"aten.grid_sampler_2d": 3 * 4 * 9 * 128 * 256},
    # Windows of 7 x 7 in a quarter of the channels.
    "RedNetInvolution": {"aten.im2col": 3 * 49 * 32 * 256},
}
"""By block: operations that none of the three counts, and their MACs by the documented formula."""


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


def forms(name: str) -> Iterator[nn.Module]:
    """Yield a stage of three blocks at the mid position, and its deploy form where it differs."""
    spec = get_block(name)
    first = spec.build(64, 128, 2, Position.MID)
    rest = [spec.build(128, 128, 1, Position.MID) for _ in range(2)]
    stage = nn.Sequential(first, *rest).eval()
    yield stage
    deployed = to_deploy(stage)
    if sum(p.numel() for p in deployed.parameters()) != sum(p.numel() for p in stage.parameters()):
        yield deployed


def torch_macs(module: nn.Module, images: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(images)
    flops: int = counter.get_total_flops()
    return flops // 2


def ptflops_macs(module: nn.Module, images: Tensor) -> int:
    """Return what ptflops counts, without the additions of biases."""
    with torch.no_grad(), BiasAdditions() as biases:
        module(images)
    macs, _ = ptflops.get_model_complexity_info(
        module,
        _SHAPE,
        print_per_layer_stat=False,
        as_strings=False,
        backend="aten",
        ost=io.StringIO(),
    )
    assert isinstance(macs, int)
    return int(macs) - int(biases.total)


@pytest.mark.parametrize("name", list_available_blocks())
def test_three_counters_agree_on_every_block(name: str) -> None:
    images = torch.ones(1, *_SHAPE)
    _, missed = _DEVIATIONS.get(name, ("", 0))
    counts = Complexity(macs=0, training_macs=0, uncounted=())
    for form in forms(name):
        counts = count_complexity(form, images)
        assert counts.macs - torch_macs(form, images) == missed
        assert counts.macs - ptflops_macs(form, images) == missed
    assert counts.uncounted_macs == _UNCOUNTED.get(name, {})
    assert set(counts.uncounted) == set(counts.uncounted_macs)


def test_the_tables_name_registered_blocks_with_a_deviation() -> None:
    assert set(_DEVIATIONS) | set(_UNCOUNTED) <= set(list_available_blocks())
    assert all(macs > 0 for _, macs in _DEVIATIONS.values())
