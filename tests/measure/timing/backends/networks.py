"""Tiny networks for the tests of backends, and the child process that runs a payload."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockzoo.core.processes import Answer, Worker
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends import get_backend
from tests.conftest import PRELOADED

CLASSES = 5


def small_net() -> nn.Module:
    """Return a network with what blocks have: convolutions, a norm with statistics, a head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(8)
        nn.init.normal_(norm.bias, std=0.1)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            norm,
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, CLASSES),
        ).eval()


class Branching(nn.Module):
    """Takes another way for bright images, which no exporter can follow."""

    def forward(self, images: Tensor) -> Tensor:
        if images.mean() > 0:
            return images.flatten(1)
        return -images.flatten(1)


def images(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, 3, 12, 12), generator=generator)


def run_payload(payload: bytes, options: RunWay, example: Tensor, given: Tensor) -> Tensor:
    """Load and run in this process; returns what the bound example gives, then `given`."""
    loaded = get_backend(options.backend).load(payload, example, options)
    loaded.call()
    outputs = [loaded.output(batch) for batch in (example, *torch.split(given, len(example)))]
    loaded.close()
    return torch.cat(outputs)


def run_in_fresh_process(payload: bytes, options: RunWay, example: Tensor, given: Tensor) -> Tensor:
    """Do `run_payload` in a process that has seen nothing of it, with plain lists on the way."""
    # Forked from one that has imported torch, which takes seconds, and none of the tests.
    with Worker("forkserver", preload=PRELOADED) as process:
        outcome = process.ask(_child, (payload, options, example.tolist(), given.tolist()))
    assert isinstance(outcome, Answer), outcome
    return torch.tensor(outcome.value)


def _child(task: tuple[bytes, RunWay, list[float], list[float]]) -> list[float]:
    payload, options, example, given = task
    output = run_payload(payload, options, torch.tensor(example), torch.tensor(given))
    values: list[float] = output.tolist()
    return values
