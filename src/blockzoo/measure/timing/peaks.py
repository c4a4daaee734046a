"""What a device can do at its best: floating-point operations and bytes per second.

The peaks are measured, not read from a data sheet: the best of repeated large matrix products and
the best of repeated large copies, whose bytes count twice, once read and once written. The arrays
are larger than caches, so the bandwidth is that of memory. These are the two roofs of Williams et
al., "Roofline: An Insightful Visual Performance Model for Multicore Architectures", 2009.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from blockzoo.core.errors import InputError
from blockzoo.core.ranges import THREADS
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.clocks import Call, Timer, fixed_threads, timer_of
from blockzoo.measure.timing.settings import DTYPES

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class PeakSettings:
    """How large the work is and how often it is repeated; the best repetition counts.

    `matrix_side`: rows and columns of the square matrices. `copy_bytes`: what one copy reads, and
    writes again. Raises `InputError` for values below 1.
    """

    matrix_side: int = 2048
    copy_bytes: int = 256 * _MIB
    repeats: int = 10

    def __post_init__(self) -> None:
        for name in ("matrix_side", "copy_bytes", "repeats"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 1 or more")


ON_CPU = PeakSettings()
ON_CUDA = PeakSettings(matrix_side=8192, copy_bytes=1024 * _MIB, repeats=20)
"""A GPU needs more work to fill its processors, and has caches of up to a hundred megabytes."""


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The highest rates measured on one device, with that many threads, in that precision."""

    device: str
    threads: int
    precision: str
    flops_per_s: float
    bytes_per_s: float

    def best(self, other: Peaks) -> Peaks:
        """Return these peaks with the higher of both rates: a busy machine only ever lowers one.

        >>> first = Peaks(
        ...     device="cpu", threads=1, precision="fp32", flops_per_s=9.0, bytes_per_s=2.0
        ... )
        >>> first.best(replace(first, flops_per_s=7.0, bytes_per_s=3.0)).bytes_per_s
        3.0
        """
        return replace(
            self,
            flops_per_s=max(self.flops_per_s, other.flops_per_s),
            bytes_per_s=max(self.bytes_per_s, other.bytes_per_s),
        )


def measure_peaks(
    device: str = "cpu",
    *,
    threads: int = 1,
    precision: str = "fp32",
    settings: PeakSettings | None = None,
) -> Peaks:
    """Measure both peaks, which takes some seconds; by default with work that suits the device.

    On CUDA the clock is the device's own events, and fp32 is fp32: TF32 is off. Raises
    `InputError` for a precision without floating-point arithmetic, fewer than one thread, and where
    memory is too small for the work; `DeviceError` for a device that is not there.

    >>> tiny = PeakSettings(matrix_side=64, copy_bytes=2**16, repeats=1)
    >>> measure_peaks("cpu", settings=tiny).flops_per_s > 0
    True
    """
    if precision not in DTYPES:
        raise InputError(f"peaks in precision {precision!r}; allowed: {', '.join(DTYPES)}")
    THREADS.checked("threads", threads)
    where = resolve_device(device)
    settings = settings or (ON_CPU if where.type == "cpu" else ON_CUDA)
    timer = timer_of(where)
    try:
        with fixed_threads(threads), torch.inference_mode():
            return Peaks(
                device=str(where),
                threads=threads,
                precision=precision,
                flops_per_s=_flops_per_s(where, DTYPES[precision], settings, timer),
                bytes_per_s=_bytes_per_s(where, settings, timer),
            )
    except (RuntimeError, MemoryError) as error:  # torch's own out-of-memory errors among them
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"the peaks of {where} cannot be measured: {reason}") from error


def _flops_per_s(
    device: torch.device, dtype: torch.dtype, settings: PeakSettings, timer: Timer
) -> float:
    side = settings.matrix_side
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty(side, side, device=device, dtype=dtype)
    # TF32 has 11 bits of significand, and would raise a roof that fp32 cannot reach.
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        fastest_s = _fastest_s(lambda: torch.mm(left, right, out=out), settings.repeats, timer)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * side**3 / fastest_s  # a multiply-add is two operations


def _bytes_per_s(device: torch.device, settings: PeakSettings, timer: Timer) -> float:
    # Bytes, not numbers: what is copied has no part in it, and any size can be asked for.
    source = torch.ones(settings.copy_bytes, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    fastest_s = _fastest_s(lambda: target.copy_(source), settings.repeats, timer)
    return 2 * settings.copy_bytes / fastest_s


def _fastest_s(call: Call, repeats: int, timer: Timer) -> float:
    """Return the shortest time of one call; the first, which touches new memory, is not timed."""
    call()
    return max(min(timer(call, 1) for _ in range(repeats)), 1) / 1e9
