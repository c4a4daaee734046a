"""What one timed cell is run with: backend, device, precision, memory layout and threads."""

from __future__ import annotations

import re
from dataclasses import dataclass

from blockzoo.core.errors import InputError, UnknownNameError

BACKENDS = ("eager", "compile", "export", "onnxruntime", "openvino", "cudagraphs", "tensorrt")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
CACHES = ("hot", "cold")
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """How a network is executed; all of it is part of what is measured.

    `device` is cpu, cuda or cuda:N. `precision` is that of weights, input and arithmetic; int8 is
    static quantisation of an fp32 network. `channels_last` chooses the memory layout of torch's
    tensors. `threads` are those within one operation, on the CPU. `cache` says what a timed call
    finds in the caches: "hot", what the call before it left, or "cold", nothing of its own.

    Raises `UnknownNameError` for the backend and `InputError` for other values that cannot be;
    which combinations a backend supports, the backend says.
    """

    backend: str = "eager"
    device: str = "cpu"
    precision: str = "fp32"
    channels_last: bool = False
    threads: int = 1
    cache: str = "hot"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UnknownNameError("backend", self.backend, BACKENDS)
        if not _DEVICE.fullmatch(self.device):
            raise InputError(f"device is {self.device!r}; allowed: cpu, cuda, cuda:N")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is {self.precision!r}; allowed: {', '.join(PRECISIONS)}")
        if self.cache not in CACHES:
            raise InputError(f"cache is {self.cache!r}; allowed: {', '.join(CACHES)}")
        if self.threads < 1:
            raise InputError(f"threads is {self.threads}; it must be 1 or more")

    @property
    def plain(self) -> bool:
        """Whether the network runs as it is, so that there is nothing to compare it with."""
        return self.backend == "eager" and self.precision == "fp32"

    @property
    def on_cuda(self) -> bool:
        """Whether the network runs on a CUDA device."""
        return self.device.startswith("cuda")
