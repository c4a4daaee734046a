"""What the backward pass of an operation costs, and where no rule can tell it.

By rule each gradient of a factor of a product costs what the product does. The rule holds for
PyTorch's own operations. A custom `autograd.Function` may do anything in its backward pass, and
checkpointing computes the forward pass once more there: both are seen here, so that the pass can be
run and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from blockzoo.measure.costs.products import function_name

UNKNOWN_BACKWARD = "autograd.Function.backward"
"""The name of a backward pass that could not be run."""

_OPERANDS = {
    **dict.fromkeys(("mm", "bmm", "_int_mm", "_grouped_mm", "_scaled_mm", "conv_tbc"), (0, 1)),
    **dict.fromkeys(("convolution", "_convolution"), (0, 1)),
    **dict.fromkeys(("addmm", "baddbmm"), (1, 2)),
}
"""Where an operation that multiplies two tensors has them among its arguments."""


def factors_with_gradient(func: Any, args: tuple[Any, ...]) -> int:
    """Return how many of the two factors of a product need a gradient.

    Fused attention is two products in one operation; all its operands are taken alike.
    """
    name = function_name(func)
    if name in _OPERANDS:
        return sum(args[index].requires_grad for index in _OPERANDS[name])
    needs_gradient = any(value.requires_grad for value in args if isinstance(value, Tensor))
    return 2 if needs_gradient else 0


def has_own_backward(outputs: Iterable[Tensor]) -> bool:
    """Tell whether a custom `autograd.Function` takes part in the gradients of these tensors.

    >>> weight = torch.ones(2, requires_grad=True)
    >>> has_own_backward([weight.exp()])
    False
    """
    waiting = [value.grad_fn for value in outputs if value.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if isinstance(node, BackwardCFunction):
            return True
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return False


def saving_is_changed() -> bool:
    """Tell whether hooks replace what is saved for the backward pass, as checkpointing does."""
    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return top is not None and top(True) is not None
