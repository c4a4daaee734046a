"""Every registered block keeps the contract, at every position, whatever is inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.blocks.registry import BlockSpec
from blockzoo.contract.findings import Line, Verdict
from blockzoo.contract.forms import COST_LINES, FORM_LINES
from blockzoo.contract.lines import BUILDS, LINES
from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.position import Position

_LINES = {line.name: line for line in (BUILDS, *LINES)}
_DEPLOY = next(line for line in FORM_LINES if line.name == "deploy")
_NEEDS_TWO_IMAGES = {
    "ODConvBasicBlock",
    "ResNeStBottleneck",
    "ReXNetLinearBottleneck",
    "SCNetBottleneck",
    "SKBottleneck",
    "TransXNetDMixer",
}
_SILENT_IN_THE_FIRST_STEP = {
    # Its layer norms span one channel, so these see zeros until a bias has moved.
    "CSATv2Block": "mlp.fc1.weight",
}


@pytest.fixture(autouse=True)
def _keep_generator() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def _notes(line: Line) -> dict[str, str]:
    """Return what the line has to say about each block, having asserted that none fails."""
    findings = {name: line.judge(get_block(name)) for name in list_available_blocks()}
    failed = {name: f.reason for name, f in findings.items() if f.verdict is not Verdict.PASSES}
    assert failed == {}
    return {name: finding.reason for name, finding in findings.items() if finding.reason}


@pytest.mark.parametrize(
    "line", [name for name in _LINES if name not in ("builds", "batch 1", "gradients")]
)
def test_every_block_keeps_the_line(line: str) -> None:
    _notes(_LINES[line])


def test_every_block_takes_16_channels() -> None:
    assert _notes(BUILDS) == {}


def test_one_image_is_enough_except_where_a_norm_spans_a_pooled_one() -> None:
    notes = _notes(_LINES["batch 1"])
    assert notes.keys() == _NEEDS_TWO_IMAGES
    assert all("training needs more than one image" in note for note in notes.values())


def test_gradients_reach_every_parameter_most_of_them_at_once() -> None:
    notes = _notes(_LINES["gradients"])
    assert notes.keys() == _SILENT_IN_THE_FIRST_STEP.keys()
    assert all(_SILENT_IN_THE_FIRST_STEP[name] in note for name, note in notes.items())


def test_deploy_forms_equal_and_are_there_exactly_where_the_block_says_so() -> None:
    specs = [get_block(name) for name in list_available_blocks()]
    verdicts = {spec.name: _DEPLOY.judge(spec) for spec in specs}
    assert {n: f.reason for n, f in verdicts.items() if f.verdict is Verdict.FAILS} == {}
    merged = {name for name, finding in verdicts.items() if finding.verdict is Verdict.PASSES}
    assert merged == {spec.name for spec in specs if spec.reparameterisable}


def test_strides_and_channels_that_no_block_has_are_refused() -> None:
    for name in list_available_blocks():
        spec = get_block(name)
        with pytest.raises(InputError, match="stride is 3; it must be 1 or 2"):
            spec.build(16, 16, 3, Position.EARLY)
        with pytest.raises(InputError, match="in_channels is 0; it must be 1 or more"):
            spec.build(0, 16, 1, Position.EARLY)


@pytest.mark.parametrize(
    ("name", "in_channels", "out_channels", "stride", "reason"),
    [
        ("ResNetBottleneck", 10, 10, 1, "out=10.*output channels must be a multiple of 4"),
        ("classic/ResNetBottleneck", 30, 30, 1, "output channels must be a multiple of 4"),
        ("GhostBottleneckV3", 15, 15, 1, "output channels must be even"),
        ("classic/GhostBottleneckV3", 15, 16, 1, "input and output channels must be even"),
        ("DYMicroBlock", 15, 30, 2, "input and output channels must be even"),
        ("RepMixer", 10, 15, 2, "must be a multiple of the input channels"),
        ("classic/RepMixer", 10, 15, 1, "must be a multiple of the input channels"),
        ("classic/ReparamLargeKernelConv", 10, 15, 1, "must be a multiple of the input"),
        ("ResNeXtBottleneck", 12, 12, 1, "output channels must be a multiple of 8"),
        ("CSPDark", 15, 15, 1, "output channels must be even"),
        ("CSPNeXt", 15, 15, 1, "output channels must be even"),
        ("HGNetV2Block", 2, 1, 1, "output channels must be 2 or more"),
        ("MBConvEfficientNet", 2, 8, 1, "input channels must be 4 or more"),
        ("MBConvMaxViT", 8, 2, 1, "output channels must be 4 or more"),
        ("FasterNetPConv", 2, 2, 1, "output channels must be 4 or more"),
        ("CPUBoneGrFusedMBConv", 15, 16, 1, "input channels must be even"),
        ("ShuffleNetV1Unit", 10, 10, 1, "output channels must be a multiple of 4"),
        ("ShuffleNetV2Unit", 15, 15, 1, "output channels must be even"),
        ("GhostBottleneckV1", 15, 15, 1, "output channels must be even"),
        ("GhostBottleneckV2", 15, 15, 1, "output channels must be even"),
        ("LowFormerBlock", 1, 1, 1, "output channels must be 2 or more"),
        ("CPUBoneBlock", 15, 16, 1, "input and output channels must be even"),
        ("EdgeNeXtSDTA", 12, 12, 1, "output channels must be a multiple of 8"),
        ("MixConvMixNet", 1, 8, 1, "input and output channels must be 2 or more"),
        ("EfficientViTCGA", 10, 10, 1, "output channels must be a multiple of 4"),
        ("MobileNetV4MQA", 10, 10, 1, "output channels must be a multiple of 4"),
        ("MobileViTv2Block", 15, 15, 1, "output channels must be even"),
        ("NFNetBlock", 15, 15, 1, "output channels must be even, and 4 or more"),
        ("Identity", 16, 8, 1, "never drops any"),
    ],
)
def test_channels_that_a_block_cannot_divide_are_refused_by_name(
    name: str, in_channels: int, out_channels: int, stride: int, reason: str
) -> None:
    with pytest.raises(BlockError, match=f"block {name} cannot be built with .*{reason}"):
        get_block(name).build(in_channels, out_channels, stride, Position.EARLY)


class _Computed(nn.Module):
    """A convolution whose kernel is computed from others, each in one of torch's older ways."""

    def __init__(
        self, channels: int, stride: int, change: Callable[[nn.Conv2d], nn.Conv2d]
    ) -> None:
        super().__init__()
        self.conv = change(nn.Conv2d(channels, channels * stride, 3, stride, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu()  # type: ignore[no-any-return]


class _KernelBank(nn.Module):
    """Mixes kernels of one 5-d parameter, which has no channels-last layout."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.bank = nn.Parameter(torch.randn(2, channels * stride, channels, 3, 3) / 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = torch.einsum("k,koihw->oihw", x.new_ones(2), self.bank)
        return F.conv2d(x, mixed, None, self.stride, 1)


def _pruned(conv: nn.Conv2d) -> nn.Conv2d:
    prune.l1_unstructured(conv, "weight", 0.5)  # type: ignore[no-untyped-call]
    return conv


_UNUSUAL: dict[str, Callable[[int, int], nn.Module]] = {
    "weight_norm": lambda n, s: _Computed(n, s, nn.utils.weight_norm),
    "spectral_norm": lambda n, s: _Computed(n, s, nn.utils.spectral_norm),
    "pruned": lambda n, s: _Computed(n, s, _pruned),
    "kernel bank": _KernelBank,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("name", _UNUSUAL)
@pytest.mark.parametrize(
    "line", ["channels_last", "determinism", "state dict", "batch", "deploy", "receptive field"]
)
def test_the_block_is_judged_and_not_how_it_is_copied(name: str, line: str) -> None:
    spec = BlockSpec(
        name=name,
        factory=lambda into, out, stride, position: _UNUSUAL[name](into, stride),
        family="plain",
        year=2020,
        paper="2001.00001",
        source="this test",
        licence="Apache-2.0",
        formula="y = f(x)",
    )
    lines = {each.name: each for each in (*LINES, *FORM_LINES, *COST_LINES)}
    finding = lines[line].judge(spec)
    expected = Verdict.DOES_NOT_APPLY if line == "deploy" else Verdict.PASSES
    assert (finding.verdict, "deepcopy" in finding.reason) == (expected, False)
