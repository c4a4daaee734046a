"""What the lines of the contract try a block on, and what they demand of its outputs.

Blocks are tried small: 16 channels, or 64 for a block that refuses 16, and at those positions where
it is built differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from blockzoo.blocks.fingerprint import fingerprint
from blockzoo.blocks.registry import BlockSpec
from blockzoo.core.errors import BlockError
from blockzoo.core.networks import copied
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.seeding import seeded

TOLERANCE = 1e-5
"""Largest difference between two forms of one function, relative to the largest output."""
CHANNELS = (16, 64)
"""Channels to try, the first that the block takes."""
# Odd and even and not square, so that a mix-up of height and width shows.
SIZE = (7, 6)
_SMALL_SCALE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Case:
    """A block at one position with one stride, from `channels` to `channels * stride`."""

    spec: BlockSpec
    position: Position
    stride: int
    channels: int

    def __str__(self) -> str:
        return f"{self.position}, stride {self.stride}"

    def build(self) -> nn.Module:
        """Return the block with its initial weights, in training mode."""
        return self.spec.build(
            self.channels, self.channels * self.stride, self.stride, self.position
        )

    def images(self, batch: int = 3) -> Tensor:
        """Return random features (batch, channels, 7, 6)."""
        return torch.randn(batch, self.channels, *SIZE)

    def awake(self) -> nn.Module:
        """Return the block, in training mode, with no gate or scale near zero to hide a branch."""
        block = self.build()
        with torch.no_grad():
            for name, parameter in block.named_parameters():
                # A bias that is 0 hides nothing.
                if not name.endswith("bias") and parameter.abs().max() <= _SMALL_SCALE:
                    _raise(parameter)
        return block

    def trained(self) -> nn.Module:
        """Return the block in eval mode after some steps, its state neither initial nor trivial."""
        # A copy, for lines change what they are given, and one is kept for all of them.
        return copied(_trained(self))

    def steps(self, block: nn.Module, count: int = 3) -> Iterator[None]:
        """Take training steps on random numbers; stops at each with its gradients in place."""
        parameters = [p for p in block.parameters() if p.requires_grad]
        if not parameters:
            return
        optimizer = torch.optim.SGD(parameters, lr=0.05)
        for _ in range(count):
            optimizer.zero_grad()
            # Images off zero and not of unit variance, so that batch statistics move too.
            output = run(block, self.images(4) * 2 + 1)
            torch.autograd.backward((output - torch.randn_like(output)).square().mean())
            yield
            # A block woken by random scales may have gradients that would blow it up in one step.
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()


@lru_cache(maxsize=512)
def _trained(case: Case) -> nn.Module:
    # All is on the CPU, and else the state of every GPU would be kept as well.
    with seeded(0, gpus=False), torch.enable_grad():
        block = case.awake()
        for _ in case.steps(block):
            pass
    return block.eval()


def cases(spec: BlockSpec, strides: tuple[int, ...] = (1, 2)) -> Iterator[Case]:
    """Yield the cases to try: each stride at each position where the block differs as built.

    >>> from blockzoo.blocks import get_block
    >>> [str(case) for case in cases(get_block("ResNetBasicBlock"))]
    ['early, stride 1', 'early, stride 2']
    """
    channels = channels_for(spec)
    for position in _distinct_positions(spec, channels):
        for stride in strides:
            yield Case(spec=spec, position=position, stride=stride, channels=channels)


@lru_cache(maxsize=256)
def channels_for(spec: BlockSpec) -> int:
    """Return the fewest channels of 16 and 64 that the block takes; raises as its constructor.

    >>> from blockzoo.blocks import get_block
    >>> channels_for(get_block("ResNetBasicBlock"))
    16
    """
    *fewer, most = CHANNELS
    for channels in fewer:
        try:
            _build_at_all_positions(spec, channels)
        except BlockError:
            continue
        return channels
    _build_at_all_positions(spec, most)
    return most


def run(block: nn.Module, features: Tensor) -> Tensor:
    """Return `block(features)`; raises `BlockError` when that is no tensor.

    >>> run(nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 5, 5)).shape
    torch.Size([1, 4, 5, 5])
    """
    output = block(features)
    if not isinstance(output, Tensor):
        raise BlockError(f"forward returns {type(output).__name__}, not a tensor")
    return output


def require_equal(
    actual: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE
) -> float:
    """Return the largest difference relative to the largest of `expected`.

    >>> require_equal(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 4.0]), "two sums", tolerance=0.5)
    0.25

    Raises `BlockError`, its message beginning with `what`, when that exceeds the tolerance, when
    the shapes differ or a value is not finite.
    """
    if actual.shape != expected.shape:
        raise BlockError(f"{what}: shape {tuple(actual.shape)}, not {tuple(expected.shape)}")
    require_finite(expected, what)
    require_finite(actual, what)
    scale = expected.abs().max().item()
    # Where all is 0 the difference counts as it is.
    difference = (actual - expected).abs().max().item() / (scale or 1.0)
    if difference > tolerance:
        raise BlockError(
            f"{what}: outputs differ by {difference:.2g} of the largest; allowed is {tolerance:.2g}"
        )
    return difference


def at_most(difference: float) -> str:
    """Return the note of a line that found two outputs equal.

    >>> at_most(0.0), at_most(3.2e-7)
    ('exactly', 'largest difference 3e-07')
    """
    return f"largest difference {difference:.1g}" if difference else "exactly"


def require_finite(output: Tensor, what: str) -> None:
    """Raise `BlockError` when a value is NaN or infinite.

    >>> require_finite(torch.tensor([1.0, float("nan")]), "mid, eval")
    Traceback (most recent call last):
    blockzoo.core.errors.BlockError: mid, eval: 1 of 2 values are NaN or infinite
    """
    wrong = int((~output.isfinite()).sum())
    if wrong:
        raise BlockError(f"{what}: {wrong} of {output.numel()} values are NaN or infinite")


def _build_at_all_positions(spec: BlockSpec, channels: int) -> None:
    for position in POSITIONS:
        for stride in (1, 2):
            spec.build(channels, channels * stride, stride, position)


@lru_cache(maxsize=256)
def _distinct_positions(spec: BlockSpec, channels: int) -> tuple[Position, ...]:
    first: dict[str, Position] = {}
    for position in POSITIONS:
        # With stride 2 a block is whole: some leave out a projection or a pooling otherwise.
        block = Case(spec=spec, position=position, stride=2, channels=channels).build()
        first.setdefault(fingerprint(block), position)
    return tuple(first.values())


def _raise(parameter: nn.Parameter) -> None:
    # A layer scale has one value per channel; gates and kernels that start at zero have more.
    is_scale = parameter.numel() == max(parameter.shape, default=1)
    if is_scale:
        nn.init.uniform_(parameter, 0.5, 1.5)
    else:
        nn.init.normal_(parameter, std=0.1)
