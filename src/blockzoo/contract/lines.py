"""The contract: what every block must do, as a table of lines that anybody can run.

A line is a function from a block's spec to a note; it raises `BlockError` where the block breaks
the line and `DoesNotApply` where the line has nothing to say about it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from blockzoo.blocks.registry import BlockSpec
from blockzoo.contract.cases import (
    CHANNELS,
    Case,
    at_most,
    cases,
    channels_for,
    require_equal,
    require_finite,
    run,
)
from blockzoo.contract.findings import Line
from blockzoo.contract.forms import COST_LINES, FORM_LINES
from blockzoo.contract.parameters import PARAMETERS, some
from blockzoo.core.errors import BlockError
from blockzoo.core.networks import copied, lay_out_network
from blockzoo.core.position import POSITIONS
from blockzoo.core.seeding import seeded


def _builds(spec: BlockSpec) -> str:
    channels = channels_for(spec)
    return "" if channels == CHANNELS[0] else f"tried with {channels} channels; it refuses 16"


def _shapes(spec: BlockSpec) -> str:
    return _shapes_of(spec, ((8, 8),))


def _odd_sizes(spec: BlockSpec) -> str:
    return _shapes_of(spec, ((9, 11), (7, 6), (2, 3)))


def _shapes_of(spec: BlockSpec, sizes: tuple[tuple[int, int], ...]) -> str:
    n, refused = channels_for(spec), []
    # The first two are what the scaffold asks for; the others a block may refuse by ValueError.
    for position in POSITIONS:
        for into, out, stride in ((n, n, 1), (n, 2 * n, 2), (n, 2 * n, 1), (n, n, 2)):
            where = f"{position}, {into} to {out} channels, stride {stride}"
            try:
                block = spec.build(into, out, stride, position).eval()
            except BlockError as error:
                if out == into * stride or not isinstance(error.__cause__, ValueError):
                    raise
                refused.append(where)
                continue
            for height, width in sizes:
                _require_shape(block, (2, into, height, width), out, stride, where)
    return f"refuses, as it may: {some(refused)}" if refused else ""


def _require_shape(
    block: nn.Module, shape: tuple[int, ...], out_channels: int, stride: int, where: str
) -> None:
    batch, _, height, width = shape
    with torch.no_grad():
        output = tuple(run(block, torch.randn(shape)).shape)
    expected = (batch, out_channels, math.ceil(height / stride), math.ceil(width / stride))
    if output != expected:
        raise BlockError(f"{where}: maps {shape} to {output}; it must be {expected}")


def _batch_of_one(spec: BlockSpec) -> str:
    note = ""
    for case in cases(spec):
        block, image = case.build(), case.images(1)
        with torch.no_grad():
            require_finite(run(block.eval(), image), f"{case}, eval")
        try:
            run(block.train(), image)
        except Exception as error:  # noqa: BLE001 - a batch norm over one value may refuse
            note = f"training needs more than one image: {spec.describe_error(error)}"
    return note


def _values(spec: BlockSpec) -> str:
    for case in cases(spec):
        block, images = case.build(), case.images()
        before = images.clone()
        require_finite(run(block, images), f"{case}, training")
        with torch.no_grad():
            require_finite(run(block.eval(), images), f"{case}, eval")
        if not torch.equal(images, before):
            raise BlockError(f"{case}: forward changes its input in place")
    return ""


def _gradients(spec: BlockSpec) -> str:
    late: set[str] = set()
    for case in cases(spec):
        block = case.awake()  # else a gate of zero keeps the gradient from what is behind it
        images = case.images().requires_grad_()
        torch.autograd.backward(run(block, images).square().sum())
        if images.grad is None or not images.grad.any():
            raise BlockError(f"{case}: no gradient reaches the input")
        unreached = _unreached(block, {n for n, _ in _trainable(block)})
        unreached = first = _unreached_in_eval(block, case, unreached)
        for _ in case.steps(block.train()):
            unreached = _unreached(block, unreached)
        unreached = _unreached_in_eval(block, case, unreached)
        if unreached:
            raise BlockError(f"{case}: no gradient reaches {some(sorted(unreached))}")
        late |= first
    return f"none in the first step for {some(sorted(late))}" if late else ""


def _unreached_in_eval(block: nn.Module, case: Case, candidates: set[str]) -> set[str]:
    """Return those of `candidates` that no gradient reaches in eval either.

    In training batch statistics may take a bias out again: its gradient is then nothing but
    rounding, exactly zero on one machine and not on the next. In eval it has one.
    """
    block.eval().zero_grad()
    torch.autograd.backward(run(block, case.images().requires_grad_()).square().sum())
    return _unreached(block, candidates)


def _trainable(block: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, value) for name, value in block.named_parameters() if value.requires_grad)


def _unreached(block: nn.Module, candidates: set[str]) -> set[str]:
    gradients = {name: value.grad for name, value in _trainable(block)}
    return {name for name in candidates if (g := gradients[name]) is None or not g.any()}


def _bf16(spec: BlockSpec) -> str:
    for case in cases(spec):
        block, images = case.build(), case.images().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = run(block, images)
        require_finite(output, f"{case}, output")
        torch.autograd.backward(output.float().square().mean())
        if images.grad is not None:
            require_finite(images.grad, f"{case}, gradient of the input")
        for name, parameter in block.named_parameters():
            if parameter.grad is not None:
                require_finite(parameter.grad, f"{case}, gradient of {name}")
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            require_finite(run(block.eval(), case.images()), f"{case}, eval")
    return ""


@torch.no_grad()
def _channels_last(spec: BlockSpec) -> str:
    worst = 0.0
    for case in cases(spec):
        block, images = case.trained(), case.images()
        expected = run(block, images)
        lay_out_network(block, torch.channels_last)
        actual = run(block, images.to(memory_format=torch.channels_last))
        worst = max(worst, require_equal(actual, expected, str(case)))
    return at_most(worst)


def _determinism(spec: BlockSpec) -> str:
    for case in cases(spec):
        twins = []
        for _ in range(2):
            with seeded(7, gpus=False):
                twins.append(case.build())
        _require_same_state(twins[0], twins[1], f"{case}: two blocks built from one seed")
        images, outputs = case.images(), []
        # Seeded anew for each, so that dropout and the like draw the same.
        for block in twins:
            with seeded(7, gpus=False):
                outputs.append(run(block, images))
        if not torch.equal(*outputs):
            raise BlockError(f"{case}: training forward differs between two runs from one seed")
        _require_same_state(twins[0], twins[1], f"{case}: after a training forward the blocks")
        _require_constant_in_eval(twins[0].eval(), images, str(case))
    return ""


@torch.no_grad()
def _require_constant_in_eval(block: nn.Module, images: Tensor, where: str) -> None:
    before = copied(block)
    first, second = run(block, images), run(block, images)
    if not torch.equal(first, second):
        raise BlockError(f"{where}: two runs in eval differ on the same input")
    _require_same_state(before, block, f"{where}: before and after a run in eval the blocks")


def _require_same_state(first: nn.Module, second: nn.Module, what: str) -> None:
    one, other = first.state_dict(), second.state_dict()
    differing = [name for name, value in one.items() if not torch.equal(value, other[name])]
    if differing:
        raise BlockError(f"{what} differ in {some(differing)}")


def _state_dict(spec: BlockSpec) -> str:
    for case in cases(spec):
        first, second = case.trained(), case.build().eval()
        # Through a file and without pickled classes, as checkpoints of trainings are read.
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second.load_state_dict(torch.load(file, weights_only=True))
        images = case.images()
        with torch.no_grad():
            require_equal(run(second, images), run(first, images), str(case), tolerance=0.0)
    return ""


def _batch_does_not_mix(spec: BlockSpec) -> str:
    worst = 0.0
    for case in cases(spec):
        block, images = case.trained(), case.images()
        with torch.no_grad():
            together = run(block, images)
            # Other batch sizes may run other kernels, which add in another order: hence 1e-4.
            alone = torch.cat([run(block, image[None]) for image in images])
        worst = max(worst, require_equal(alone, together, f"{case}, alone and in a batch", 1e-4))
    return at_most(worst)


BUILDS = Line(
    name="builds",
    checks="the constructor takes its arguments and makes a module, at all positions and strides",
    run=_builds,
)
LINES: tuple[Line, ...] = (
    Line(
        name="shapes",
        checks="(N, C, H, W) becomes (N, C', ceil(H / s), ceil(W / s)) at all positions, strides",
        run=_shapes,
    ),
    PARAMETERS,
    Line(name="odd sizes", checks="the same for 9x11, 7x6 and 2x3", run=_odd_sizes),
    Line(name="batch 1", checks="one image alone is mapped in eval", run=_batch_of_one),
    Line(name="values", checks="outputs are finite, the input is left as it was", run=_values),
    Line(name="gradients", checks="reach the input and every parameter", run=_gradients),
    Line(name="bf16", checks="no NaN under autocast, forward, backward and in eval", run=_bf16),
    Line(name="channels_last", checks="equals contiguous", run=_channels_last),
    Line(
        name="determinism",
        checks="one seed, one block, one output; eval repeats itself and changes no state",
        run=_determinism,
    ),
    Line(
        name="state dict",
        checks="saved and loaded into a new block, it is the same",
        run=_state_dict,
    ),
    Line(
        name="batch",
        checks="in eval an image's output does not depend on the others of its batch",
        run=_batch_does_not_mix,
    ),
)
"""The lines that need nothing but the block and eager PyTorch."""


def contract_lines(*, exports: bool = True) -> tuple[Line, ...]:
    """Return all lines in the order of the report; without `exports`, no compiling and no ONNX.

    >>> [line.name for line in contract_lines(exports=False)][-3:]
    ['deploy', 'cost', 'receptive field']
    """
    lines = (BUILDS, *LINES, *FORM_LINES, *COST_LINES)
    return tuple(line for line in lines if exports or not line.exports)
