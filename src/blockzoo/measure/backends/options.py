"""How one cell is run: backend, device, arithmetic, memory format and threads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """What a backend needs to know besides module and example.

    `device` is resolved (cpu, cuda:0); `precision` is fp32, bf16, fp16 or int8; `threads` are those
    within operations.
    """

    backend: str = "eager"
    device: str = "cpu"
    precision: str = "fp32"
    channels_last: bool = False
    threads: int = 1
