"""How far a backend's output may be from fp32 eager, by precision, and why.

fp32: 1e-4 of the largest output, as for the forms of a network. A network that magnifies rounding
may exceed it in any backend, because sums are added in another order. So beyond it both are held
against the network in float64: the backend passes when it is not much further from that than eager
itself is. Mistakes do not pass, since eager's own error is rounding.

bf16 has 8 bits of significand, so each operation is off by up to 0.4%, and tens of operations in a
row add up to percents; fp16 has 11 bits, but may leave its range. Both are given 5%, and must agree
on the first choice where eager's leads by more than that. TensorRT multiplies fp32 in TF32, which
has 11 bits too, and is given 1%.

int8 has 256 levels per tensor, so single outputs may be far off although the network works. The
gate is a statistical one, over at least 64 images: the signal is at least 10 dB above the error
(the error's root mean square is under a third of the outputs'), and the first choice agrees for at
least 90% of the images where eager's choice is clear. A random network shows mistakes of a
quantiser (ranges, scales, a skipped layer); what int8 costs in accuracy only a trained network can
tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from blockzoo.core.errors import InputError, ModelError, ParityError
from blockzoo.core.networks import cast, cast_network, copied
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.parity import TOLERANCE, check_parity

HALF_TOLERANCE = 5e-2
TF32_TOLERANCE = 1e-2
INT8_IMAGES = 64
INT8_LEAST_SQNR_DB = 10.0
INT8_LEAST_AGREEMENT = 0.9
INT8_CLEAR_LEAD = 0.05
_MAGNIFIED = 4.0
"""How much further than eager a backend may be from float64: the same rounding, drawn again."""
# Beyond this nobody would call it rounding, however the network magnifies it.
_MOST_ROUNDING = 1e-2
_SEED = 64

Output = Callable[[Tensor], Tensor]


class _InBatches(nn.Module):
    """Runs a callable on one batch at a time, for what is built for one size."""

    def __init__(self, run: Output, batch_size: int) -> None:
        super().__init__()
        self.run, self.batch_size = run, batch_size

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.run(batch) for batch in torch.split(images, self.batch_size)])


def check_output(
    model: nn.Module, output: Output, images: Tensor, batch_size: int, way: RunWay
) -> float:
    """Return the relative difference of `output` to fp32 eager of `model`; see `Backend.check`.

    It is the largest difference over the largest output; for int8 the root mean square of the error
    over that of the outputs.
    """
    if not len(images) or len(images) % batch_size:
        raise InputError(f"{len(images)} images are no whole batches of {batch_size}")
    # On the CPU whatever the way: the reference must not depend on what is checked.
    eager = cast_network(copied(model).eval().cpu(), torch.float32)
    images = cast(images.detach().cpu(), torch.float32)
    other = _InBatches(output, batch_size)
    if way.precision == "int8":
        return _check_int8(_InBatches(eager, batch_size), other, _enough(images, batch_size))
    tolerance = tolerance_of(way)
    try:
        return check_parity(_InBatches(eager, batch_size), other, images, tolerance=tolerance)
    except ParityError:
        if way.precision == "fp32" and _is_rounding(eager, other, images, batch_size):
            return check_parity(
                _InBatches(eager, batch_size), other, images, tolerance=_MOST_ROUNDING
            )
        raise


def tolerance_of(way: RunWay) -> float:
    """Return how far one output may be from another, relative to the largest, by precision.

    >>> tolerance_of(RunWay()), tolerance_of(RunWay(precision="bf16"))
    (0.0001, 0.05)
    """
    if way.precision != "fp32":
        return HALF_TOLERANCE
    return TF32_TOLERANCE if way.backend == "tensorrt" else TOLERANCE


def other_inputs(example: Tensor, seed: int = _SEED) -> Tensor:
    """Return inputs of the same shape and kind as `example`, but none of them itself.

    They are its values in another order; where all are equal, standard normal ones. Of whole
    numbers that are all equal no others are known to be allowed (they may be indices), so these
    are taken.

    >>> example = torch.arange(8.0)
    >>> other_inputs(example).sort().values.equal(example), other_inputs(example).equal(example)
    (True, False)
    """
    generator = torch.Generator().manual_seed(seed)
    flat = example.detach().cpu().flatten()
    if not len(flat) or bool((flat == flat[0]).all()):
        if not (example.is_floating_point() or example.is_complex()):
            return flat.reshape(example.shape)
        kind = torch.complex64 if example.is_complex() else torch.float32
        drawn = torch.randn(example.shape, generator=generator, dtype=kind)
        return drawn.to(example.dtype)
    return flat[torch.randperm(len(flat), generator=generator)].reshape(example.shape)


def require_unchanged(before: Tensor, after: Tensor, way: RunWay) -> None:
    """Raise `ParityError` where an output is not what it was for the same input.

    Values that are not finite must be the same in both.

    >>> require_unchanged(torch.ones(2), torch.ones(2) + 1e-6, RunWay())
    """
    if before.shape != after.shape:
        raise ParityError(
            f"its output changed while it was timed, from shape {tuple(before.shape)} to "
            f"{tuple(after.shape)}"
        )
    finite = before.isfinite() & after.isfinite()
    same = (before == after) | (before.isnan() & after.isnan())
    if not bool((finite | same).all()):
        raise ParityError("its output changed while it was timed: it is not finite where it was")
    if not bool(finite.any()):
        return
    largest = before[finite].abs().max()
    difference = (before[finite] - after[finite]).abs().max()
    if difference > tolerance_of(way) * largest:
        raise ParityError(
            f"its output changed while it was timed, by {float(difference / largest):.2g} of the "
            f"largest; allowed is {tolerance_of(way):.2g}"
        )


def _is_rounding(eager: nn.Module, other: nn.Module, images: Tensor, batch_size: int) -> bool:
    """Tell whether `other` is about as near to the network in float64 as eager fp32 is."""
    exact_eager = cast_network(copied(eager), torch.float64)
    try:
        with torch.inference_mode():
            exact = _InBatches(exact_eager, batch_size)(cast(images, torch.float64))
            expected = _InBatches(eager, batch_size)(images)
            actual = other(images)
    except RuntimeError:  # it cannot run in double precision, so the first answer stands
        return False
    if exact.shape != actual.shape:
        return False
    return bool(_error(actual, exact) <= _MAGNIFIED * _error(expected, exact))


def _error(output: Tensor, exact: Tensor) -> float:
    return float((output.double() - exact).abs().max())


def _enough(images: Tensor, batch_size: int) -> Tensor:
    """Return `images`, and random normal ones after them up to `INT8_IMAGES` in whole batches."""
    # Ten images, say, agree or not by steps of a tenth, which tells nothing of 90%.
    missing = math.ceil(max(INT8_IMAGES - len(images), 0) / batch_size) * batch_size
    generator = torch.Generator().manual_seed(_SEED)
    if not images.is_floating_point():  # others than those given may be no indices
        return torch.cat([images, *[images] * math.ceil(missing / len(images))])
    more = torch.randn((missing, *images.shape[1:]), generator=generator)
    return torch.cat([images, more])


def _check_int8(eager: nn.Module, other: nn.Module, images: Tensor) -> float:
    with torch.inference_mode():
        expected, actual = eager(images).double(), other(images).double()
    if expected.shape != actual.shape:
        raise ParityError(
            f"outputs have shapes {tuple(expected.shape)} and {tuple(actual.shape)}; "
            f"they must be equal"
        )
    if not (expected.isfinite().all() and actual.isfinite().all()):
        raise ModelError("the outputs hold values that are NaN or infinite")
    signal, error = expected.square().mean().sqrt(), (actual - expected).square().mean().sqrt()
    relative = float(error / signal) if signal else (math.inf if error else 0.0)
    sqnr_db = -20 * math.log10(relative) if relative else math.inf
    if sqnr_db < INT8_LEAST_SQNR_DB:
        raise ParityError(
            f"int8 outputs are {sqnr_db:.1f} dB above their error; "
            f"at least {INT8_LEAST_SQNR_DB:.0f} dB is asked for"
        )
    agreement = _agreement(expected, actual)
    if agreement < INT8_LEAST_AGREEMENT:
        raise ParityError(
            f"int8 agrees on the first choice for {agreement:.0%} of the clear inputs; "
            f"at least {INT8_LEAST_AGREEMENT:.0%} is asked for"
        )
    return relative


def _agreement(expected: Tensor, actual: Tensor) -> float:
    """Return the share of inputs with a clear first choice for which it is the same; 1 for none."""
    if expected.shape[-1] < 2:
        return 1.0
    best = expected.topk(2, dim=-1).values
    clear = best[..., 0] - best[..., 1] > INT8_CLEAR_LEAD * expected.abs().max()
    same = (expected.argmax(-1) == actual.argmax(-1))[clear]
    return float(same.double().mean()) if len(same) else 1.0
