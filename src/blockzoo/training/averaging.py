"""An exponential moving average of weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """A copy of `net` whose weights and batch statistics trail behind those of `net`.

    After step t the average keeps min(decay, (1 + t) / (10 + t)) of itself, so that the random
    start is forgotten fast. Integer buffers are copied. The average is `net`, to be evaluated.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay, self.steps = copy.deepcopy(net), decay, 0
        self.net.requires_grad_(False)
        ours, theirs = self.net.state_dict(), net.state_dict()
        pairs = [(ours[name], theirs[name]) for name in ours]
        self._float = [pair for pair in pairs if pair[0].is_floating_point()]
        self._other = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages: list[Tensor] = [pair[0] for pair in self._float]
        torch._foreach_lerp_(averages, [pair[1] for pair in self._float], 1 - kept)
        if self._other:
            counts: list[Tensor] = [pair[0] for pair in self._other]
            torch._foreach_copy_(counts, [pair[1] for pair in self._other])
