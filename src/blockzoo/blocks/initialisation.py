"""The one initialisation policy of all blocks, and of the scaffold around them.

Libraries initialise in their models, not in their blocks, so a block taken out of its network has
whatever its layers default to. Here every block gets the same treatment: convolutions are drawn
as in He et al. (arXiv 1502.01852), fan-out mode with the fan counted per group so that a depthwise
convolution is not drawn too small; linear layers are drawn from a normal distribution with
deviation 0.02 cut at two deviations; their biases are zero; normalisation layers start as the
identity, also the last ones of residual branches that some libraries start at zero. Parameters that
are none of these (layer scales, gates, dynamic kernels, transposed convolutions) keep what their
constructor gave them, because there the paper's value is the point; so does one that is marked
`_no_reinit`, as state-space blocks mark the bias of their time steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
Draw = Callable[[Tensor], object]
_NORMALISATIONS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
_KEPT_MARK = "_no_reinit"
"""What public code sets on a parameter that initialisers are to leave alone."""


@dataclass(frozen=True, kw_only=True)
class StartValues:
    """Whose the start values of a block's parameters are; each is named as in `state_dict`.

    `drawn` by the policy, `kept` as the constructor gave them though they train, and `frozen`:
    constants of the block.
    """

    drawn: tuple[str, ...]
    kept: tuple[str, ...]
    frozen: tuple[str, ...]


def initialise(module: nn.Module) -> None:
    """Draw the weights of `module` in place by the policy, from torch's current generator.

    >>> layer = nn.Conv2d(8, 8, 3)
    >>> initialise(layer)
    >>> layer.bias.abs().sum().item()
    0.0
    """
    for _, parameter, draw in _to_draw(module):
        draw(parameter)


def start_values(module: nn.Module) -> StartValues:
    """Return which parameters of `module` the policy draws, and which it leaves alone.

    >>> layer = nn.Conv2d(8, 8, 3)
    >>> _ = layer.weight.requires_grad_(False)
    >>> start_values(layer)
    StartValues(drawn=('bias',), kept=(), frozen=('weight',))
    """
    drawn = {name for name, _, _ in _to_draw(module)}
    left = [(name, each) for name, each in module.named_parameters() if name not in drawn]
    return StartValues(
        drawn=tuple(name for name, _ in module.named_parameters() if name in drawn),
        kept=tuple(name for name, each in left if each.requires_grad),
        frozen=tuple(name for name, each in left if not each.requires_grad),
    )


def _to_draw(module: nn.Module) -> Iterator[tuple[str, nn.Parameter, Draw]]:
    """Yield name, parameter and how it is drawn, of all that the policy draws, in order."""
    for path, layer in module.named_modules():
        rules = {"weight": _rule_for_weight(layer), "bias": _rule_for_bias(layer)}
        # Only its own: a weight may also be a buffer, a property, or None.
        own = dict(layer._parameters.items())  # that of a compiled layer is no dictionary
        for name, rule in rules.items():
            parameter = own.get(name)
            if rule is None or parameter is None or getattr(parameter, _KEPT_MARK, False):
                continue
            if parameter.requires_grad:
                yield f"{path}.{name}" if path else name, parameter, rule


def _rule_for_weight(layer: nn.Module) -> Draw | None:
    if isinstance(layer, _CONVOLUTIONS):
        fan_out = _fan_out(layer)
        return None if fan_out is None else partial(_draw_by_fan, fan_out=fan_out)
    if isinstance(layer, nn.Linear):
        return partial(nn.init.trunc_normal_, std=0.02, a=-0.04, b=0.04)
    return nn.init.ones_ if isinstance(layer, _NORMALISATIONS) else None


def _rule_for_bias(layer: nn.Module) -> Draw | None:
    known = (*_CONVOLUTIONS, nn.Linear, *_NORMALISATIONS)
    return nn.init.zeros_ if isinstance(layer, known) else None


def _fan_out(layer: nn.Conv1d | nn.Conv2d) -> int | None:
    """Return the fan-out of one kernel, None where the weight is not made of such kernels."""
    weight = layer._parameters.get("weight")
    kernel = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    if weight is None or tuple(weight.shape)[-len(kernel) :] != kernel:
        return None
    # Per group: torch counts all groups, C times too many where it is depthwise.
    return layer.out_channels * math.prod(layer.kernel_size) // layer.groups


def _draw_by_fan(weight: Tensor, fan_out: int) -> Tensor:
    return nn.init.normal_(weight, 0.0, math.sqrt(2.0 / fan_out))
