"""The gate before the clock: two forms of a network must compute the same function.

A fresh network hides mistakes: its batch statistics are 0 and 1, its layer scales near 0, so a
merge that drops a mean or a whole branch changes nothing. `with_nontrivial_state` gives a copy
whose statistics and scales would show it. An untrained network can also hide behind rounding: where
nothing normalises, activations grow layer by layer until a softmax saturates, and a change in the
last bit of the input changes the output by percents. Statistics of real activations end that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from blockzoo.core.errors import ModelError, ParityError
from blockzoo.core.networks import cast, cast_network, copied

TOLERANCE = 1e-4
# Papers start layer scales at 1e-6 to 1e-4, where a branch that is dropped changes nothing.
_SMALL_SCALE = 1e-3
# Of a batch's statistics in the running ones; the rest keeps the variance of dead channels off 0.
_BATCH_SHARE = 0.9


def check_parity(
    original: nn.Module, other: nn.Module, example: Tensor, *, tolerance: float = TOLERANCE
) -> float:
    """Return the largest relative difference of the two outputs on `example` (N, ...).

    Raises `ParityError` when it exceeds `tolerance`, when shapes differ, or when the first choice
    (argmax over the last dimension) differs for an input whose choice is clear, that is leads by
    more than the tolerance; `ModelError` when an output is not finite.

    >>> convolution = nn.Conv2d(3, 4, 1)
    >>> check_parity(convolution, copied(convolution), torch.ones(2, 3, 8, 8))
    0.0
    """
    expected, actual = _outputs(original, other, example)
    difference = _relative_difference(expected, actual)
    if difference > tolerance:
        raise ParityError(
            f"outputs differ by {difference:.2g} of the largest; allowed is {tolerance:.2g}"
        )
    # A difference within the tolerance may still turn a choice, which is what a network is for.
    changed = _changed_choices(expected, actual, tolerance)
    if changed:
        raise ParityError(f"the first choice differs for {changed} of {len(example)} inputs")
    return difference


def check_merge(
    module: nn.Module,
    merge: Callable[[nn.Module], nn.Module],
    example: Tensor,
    *,
    tolerance: float = TOLERANCE,
) -> tuple[nn.Module, float]:
    """Return `merge(module)` and its relative difference to `module` on `example`.

    Where the difference exceeds `tolerance`, the merge is repeated in double precision, which tells
    a mistake from a network that magnifies rounding: a mistake stays, rounding shrinks by nine
    digits. The difference returned is the one that decided. Raises what `check_parity` raises.

    >>> merged, difference = check_merge(nn.ReLU(), lambda module: nn.ReLU6(), torch.ones(1, 3))
    >>> type(merged).__name__, difference
    ('ReLU6', 0.0)
    """
    merged = merge(module)
    try:
        return merged, check_parity(module, merged, example, tolerance=tolerance)
    except ParityError as error:
        # Merged anew from the exact copy: what was merged in single precision is rounded already.
        exact = cast_network(copied(module), torch.float64)
        try:
            return merged, check_parity(
                exact, merge(exact), cast(example, torch.float64), tolerance=tolerance
            )
        except RuntimeError:  # it cannot run in double precision, so the first answer stands
            raise error from None


def with_nontrivial_state(
    module: nn.Module, seed: int = 0, example: Tensor | None = None
) -> nn.Module:
    """Return a copy whose state no longer hides mistakes of a merge, drawn from `seed`.

    Batch (and instance) normalization gets means and biases of N(0, 0.1), variances and weights
    between 0.5 and 1.5. Of the other parameters with one dimension larger than 1, such as layer
    scales (C,) or (C, 1, 1), those that are all within 0.001 of zero are raised: biases to
    N(0, 0.1), scales to between 0.5 and 1.5. Everything else stays. With `example`, (N, ...) of two
    or more, running statistics are then moved nine tenths of the way to those of the activations on
    it, as training would.

    >>> fresh = nn.BatchNorm2d(4)
    >>> bool(with_nontrivial_state(fresh).running_mean.any()), bool(fresh.running_mean.any())
    (True, False)
    """
    twin = copied(module)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in twin.modules():
            # Fresh ones have mean 0, variance 1 and no scale: a merge that drops them is right.
            if isinstance(layer, _NormBase):
                _shift(layer.running_mean, generator)
                _spread(layer.running_var, generator)
                _shift(layer.bias, generator)
                _spread(layer.weight, generator)
            else:
                _raise_small(layer, generator)
        if example is not None:
            _take_statistics(twin, example)
    return twin


def _take_statistics(module: nn.Module, example: Tensor) -> None:
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, _NormBase) and layer.running_mean is not None
    ]
    # Only the layers with statistics are put into training mode: dropout must stay off.
    before = [(layer.training, layer.momentum) for layer in layers]
    for layer in layers:
        layer.training, layer.momentum = True, _BATCH_SHARE
    module(example)
    for layer, (training, momentum) in zip(layers, before, strict=True):
        layer.training, layer.momentum = training, momentum


def _raise_small(layer: nn.Module, generator: torch.Generator) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        is_vector = parameter.numel() == max(parameter.shape, default=1)
        if not is_vector or parameter.abs().max() > _SMALL_SCALE:
            continue
        (_shift if name == "bias" else _spread)(parameter, generator)


def _shift(tensor: Tensor | None, generator: torch.Generator) -> None:
    if tensor is not None:
        tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))


def _spread(tensor: Tensor | None, generator: torch.Generator) -> None:
    if tensor is not None:
        tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))


def _outputs(original: nn.Module, other: nn.Module, example: Tensor) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        # In double, so that comparing adds no rounding of its own.
        expected, actual = _in_double(original(example)), _in_double(other(example))
    if expected.shape != actual.shape:
        raise ParityError(
            f"outputs have shapes {tuple(expected.shape)} and {tuple(actual.shape)}; "
            f"they must be equal"
        )
    for form, output in (("original", expected), ("other", actual)):
        if not output.isfinite().all():
            raise ModelError(
                f"the {form} form's output of shape {tuple(output.shape)} holds "
                f"{int((~output.isfinite()).sum())} values that are NaN or infinite"
            )
    return expected, actual


def _in_double(output: Tensor) -> Tensor:
    """Return an output in double; complex numbers as pairs of real ones."""
    return (
        torch.view_as_real(output.resolve_conj()).flatten(-2) if output.is_complex() else output
    ).double()


def _relative_difference(expected: Tensor, actual: Tensor) -> float:
    difference, scale = (expected - actual).abs().max().item(), expected.abs().max().item()
    if difference == 0:
        return 0.0
    return difference / scale if scale else float("inf")


def _changed_choices(expected: Tensor, actual: Tensor, tolerance: float) -> int:
    """Count inputs whose argmax differs although it leads by more than rounding can take."""
    if expected.shape[-1] < 2:
        return 0
    best = expected.topk(2, dim=-1).values
    clear = best[..., 0] - best[..., 1] > tolerance * expected.abs().max()
    changed = expected.argmax(-1) != actual.argmax(-1)
    return int((clear & changed).sum())
