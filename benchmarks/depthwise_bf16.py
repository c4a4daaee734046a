"""Convolutions on a CPU, forward and backward, in bfloat16 against fp32: which are slower in it?

Usage: python benchmarks/depthwise_bf16.py [--batch-size N] [--rounds N] [--threads N]

Both get a bfloat16 input in channels-last and return bfloat16; fp32 is cast to and back inside the
time. The two alternate, with freed memory kept as in a training; medians are shown.
`blockzoo.training.arithmetic` follows from the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from blockzoo.measure.machine.environment import describe_environment
from blockzoo.training.process import freed_memory_kept


class Shape(NamedTuple):
    """A convolution over square images."""

    channels: int
    size: int
    kernel: int
    stride: int
    groups: int
    dilation: int = 1


SHAPES = (
    Shape(24, 32, 3, 1, 24),
    Shape(256, 32, 3, 1, 256),
    Shape(512, 16, 3, 1, 512),
    Shape(256, 8, 3, 1, 256),
    Shape(256, 16, 3, 1, 256, dilation=2),
    Shape(24, 32, 3, 2, 24),
    Shape(144, 32, 3, 2, 144),
    Shape(256, 32, 3, 2, 256),
    Shape(256, 8, 3, 2, 256),
    Shape(256, 16, 5, 1, 256),
    Shape(256, 32, 5, 2, 256),
    Shape(128, 16, 7, 1, 128),
    Shape(128, 32, 7, 2, 128),
    Shape(128, 32, 3, 2, 32),
    Shape(256, 16, 3, 1, 8),
    Shape(128, 32, 3, 2, 1),
    Shape(128, 32, 1, 2, 1),
)


def milliseconds(shape: Shape, batch: int, rounds: int) -> tuple[float, float]:
    """Return the medians of bfloat16 and of fp32."""
    layout = torch.channels_last
    images = torch.randn(batch, shape.channels, shape.size, shape.size, dtype=torch.bfloat16)
    images = images.contiguous(memory_format=layout).requires_grad_()
    kernel = (shape.kernel, shape.kernel)
    weight = torch.randn(shape.channels, shape.channels // shape.groups, *kernel)
    weight = weight.contiguous(memory_format=layout).requires_grad_()
    padding = shape.dilation * (shape.kernel // 2)

    def convolve(images: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(images, weight, None, shape.stride, padding, shape.dilation, shape.groups)

    def in_bf16() -> Tensor:
        return convolve(images, weight.bfloat16())

    def in_fp32() -> Tensor:
        return convolve(images.float(), weight).bfloat16()

    gradient = torch.randn_like(in_bf16())
    samples: dict[Callable[[], Tensor], list[float]] = {in_bf16: [], in_fp32: []}
    for _ in range(rounds + 1):
        for forward, times in samples.items():
            started = time.perf_counter()
            torch.autograd.backward(forward(), gradient)
            times.append(1e3 * (time.perf_counter() - started))
    return median(samples[in_bf16][1:]), median(samples[in_fp32][1:])


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    default = Path("benchmarks/results/depthwise_bf16.json")
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = Table("channels", "size", "kernel", "stride", "groups", "dilation", "bf16 / fp32")
    rows: list[dict[str, float]] = []
    for shape in SHAPES:
        with freed_memory_kept(torch.device("cpu")):
            bf16, fp32 = milliseconds(shape, options.batch_size, options.rounds)
        rows.append({**shape._asdict(), "bf16_ms": bf16, "fp32_ms": fp32})
        table.add_row(*map(str, shape), f"{bf16 / fp32:.2f}")
    Console().print(table)
    settings = {name: str(value) for name, value in vars(options).items() if name != "output"}
    record = {"rows": rows, "options": settings, "environment": describe_environment()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
