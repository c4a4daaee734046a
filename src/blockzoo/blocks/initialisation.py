"""The one initialisation policy of all blocks, and of the scaffold around them.

Libraries initialise in their models, not in their blocks, so a block taken out of its network has
whatever its layers default to. Here every block gets the same treatment: convolutions are drawn
as in He et al. (arXiv 1502.01852), fan-out mode with the fan counted per group so that a depthwise
convolution is not drawn too small; linear layers are drawn from a normal distribution with
deviation 0.02 cut at two deviations; their biases are zero; normalisation layers start as the
identity, also the last ones of residual branches that some libraries start at zero. Parameters that
are none of these (layer scales, gates, dynamic kernels, transposed convolutions) keep what their
constructor gave them, because there the paper's value is the point.
"""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMALISATIONS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def initialise(module: nn.Module) -> None:
    """Draw the weights of `module` in place by the policy, from torch's current generator.

    >>> layer = nn.Conv2d(8, 8, 3)
    >>> initialise(layer)
    >>> layer.bias.abs().sum().item()
    0.0
    """
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            # Per group: torch counts all groups, C times too many where it is depthwise.
            fan_out = layer.weight.shape[0] * math.prod(layer.kernel_size) // layer.groups
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))
            _zero_bias(layer)
        elif isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
            _zero_bias(layer)
        elif isinstance(layer, _NORMALISATIONS) and layer.weight is not None:  # None: not affine
            nn.init.ones_(layer.weight)
            _zero_bias(layer)


def _zero_bias(layer: nn.Module) -> None:
    # Not every layer has one; timm also sets it to None where a paper has none.
    if isinstance(layer.bias, nn.Parameter):
        nn.init.zeros_(layer.bias)
