"""When a sampling session starts to count and when it stops."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.measure.timing.parity import TOLERANCE


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """When to start and when to stop.

    A cell is converged after `min_rounds` rounds and `min_seconds` of timed work when the 95%
    interval of its median lies within `target_relative_interval` of it; with `stop_on` "ratio",
    when that of its ratio to the baseline does. The session ends when all cells are converged,
    after `rounds_max` rounds, or when `budget_s` seconds per cell are spent; then whatever is not
    converged says so.

    A cell is warm when a block of five samples no longer gains 2% on the best before, after
    `warmup_calls` calls and `warmup_min_s`, and in any case after `warmup_max_s`. A sample repeats
    its call until it lasts `min_sample_ms`, and is preceded by `prime_calls` calls that are not
    timed, so that it does not pay for what the cell before left in the caches.

    Raises `InputError` for values that cannot work.
    """

    min_rounds: int = 10
    rounds_max: int = 2000
    min_seconds: float = 0.5
    target_relative_interval: float = 0.01
    stop_on: Literal["median", "ratio"] = "median"
    budget_s: float = 6.0
    warmup_calls: int = 10
    warmup_min_s: float = 0.0
    warmup_max_s: float = 5.0
    min_sample_ms: float = 1.0
    prime_calls: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        self._require_at_least(1, "min_rounds")
        self._require_at_least(self.min_rounds, "rounds_max")
        for name in ("min_seconds", "warmup_calls", "warmup_min_s", "min_sample_ms", "prime_calls"):
            self._require_at_least(0, name)
        self._require_at_least(self.warmup_min_s, "warmup_max_s")
        for name in ("target_relative_interval", "budget_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.stop_on not in ("median", "ratio"):
            raise InputError(f"stop_on is {self.stop_on!r}; allowed: median, ratio")

    def _require_at_least(self, least: float, name: str) -> None:
        if not getattr(self, name) >= least:
            raise InputError(f"{name} is {getattr(self, name)}; it must be {least} or more")


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


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of weights and inputs, by precision."""


_PRECISIONS = (*DTYPES, "int8")


@dataclass(frozen=True, kw_only=True)
class LatencySettings(SamplingPlan):
    """How latency is measured; all of it is recorded and part of a trial's identity.

    `device`: auto, cpu, cuda or cuda:N. `batch_size`: images per call. `threads`: of torch, within
    operations. `precision`: fp32, bf16, fp16 or int8. `parity_tolerance`: see
    `measure/parity.py`. `processes`: fresh ones that share rounds and budget; 0 is
    this process, which starts at once, but one process cannot tell how far others would differ.
    `keep_freed_memory`: fresh processes reuse memory that a call freed, as under the allocators of
    servers, instead of getting it anew from the system whenever glibc happens to have returned it.
    `backend`: see `measure/backends`. `cache`: hot or cold, see `measure/cold_cache.py`. The rest
    says when to start and stop, see `SamplingPlan`; a GPU is warmed up for at least a second per
    model whatever `warmup_min_s`.
    """

    device: str = "cpu"
    batch_size: int = 1
    threads: int = 1
    channels_last: bool = False
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    parity_tolerance: float = TOLERANCE
    processes: int = 3
    keep_freed_memory: bool = True
    backend: str = "eager"
    cache: str = "hot"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "batch_size")
        self._require_at_least(1, "threads")
        self._require_at_least(0, "processes")
        self._require_at_least(0, "parity_tolerance")
        if self.precision not in _PRECISIONS:
            allowed = ", ".join(_PRECISIONS)
            raise InputError(f"precision is {self.precision!r}; allowed: {allowed}")
        if self.cache not in CACHES:
            raise InputError(f"cache is {self.cache!r}; allowed: {', '.join(CACHES)}")

    @property
    def cell_options(self) -> CellOptions:
        """What one cell is run with; `device` must be a device's own name by then."""
        return CellOptions(
            backend=self.backend,
            device=self.device,
            precision=self.precision,
            channels_last=self.channels_last,
            threads=self.threads,
            cache=self.cache,
        )
