"""How close a measured network comes to what its machine can do, and what holds it back.

The roof over an arithmetic intensity is the lower of the machine's peak FLOP/s and of intensity
times its peak bytes/s (Williams et al., "Roofline", 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blockzoo.core.errors import InputError

Bound = Literal["compute", "memory", "overhead"]

OVERHEAD_BELOW = 0.25
"""A network that uses less than this share of both peaks is said to be bound by neither."""


@dataclass(frozen=True, kw_only=True)
class Roof:
    """A machine's two peaks; raises `InputError` unless both are positive."""

    flops_per_s: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        if self.flops_per_s <= 0 or self.bytes_per_s <= 0:
            raise InputError(
                f"peaks are {self.flops_per_s:g} FLOP/s and {self.bytes_per_s:g} bytes/s; "
                "both must be positive"
            )

    @property
    def ridge_flops_per_byte(self) -> float:
        """The intensity from which on the compute peak is the lower of the two."""
        return self.flops_per_s / self.bytes_per_s

    def at(self, intensity_flops_per_byte: float) -> float:
        """Return the most FLOP/s that the machine allows at that intensity.

        >>> roof = Roof(flops_per_s=90e9, bytes_per_s=10e9)
        >>> roof.ridge_flops_per_byte, roof.at(4.0), roof.at(20.0)
        (9.0, 40000000000.0, 90000000000.0)
        """
        return min(self.flops_per_s, intensity_flops_per_byte * self.bytes_per_s)


@dataclass(frozen=True, kw_only=True)
class Achieved:
    """What was achieved, absolutely and as shares (1 is the peak) of what is possible.

    `intensity_flops_per_byte` is of the bytes moved when every operation reads and writes memory,
    `fused_intensity_flops_per_byte` of the least that could be moved. A share of the bandwidth, and
    with it of the roof, may exceed 1: what fits into a cache does not go to memory.
    """

    flops_per_s: float
    bytes_per_s: float
    intensity_flops_per_byte: float
    fused_intensity_flops_per_byte: float
    compute_share: float
    bandwidth_share: float
    roof_flops_per_s: float
    roof_share: float
    bound: Bound


def place_under(
    roof: Roof, *, flops: int, moved_bytes: int, least_bytes: int, latency_ms: float
) -> Achieved:
    """Return how a network of that work and latency uses the machine.

    It is bound by "compute" or "memory", whichever peak it uses the larger share of (which is also
    the part of the roof over its intensity), or by "overhead" where both shares are below
    `OVERHEAD_BELOW`: launching, scheduling, kernels that suit the shapes badly, or layers of both
    kinds in turn. Raises `InputError` unless bytes and latency are positive and FLOPs are not
    negative.

    >>> roof = Roof(flops_per_s=100e9, bytes_per_s=10e9)
    >>> used = place_under(
    ...     roof, flops=10**9, moved_bytes=8 * 10**7, least_bytes=10**7, latency_ms=20
    ... )
    >>> used.compute_share, used.bandwidth_share, used.bound
    (0.5, 0.4, 'compute')
    """
    if min(moved_bytes, least_bytes) <= 0 or latency_ms <= 0 or flops < 0:
        raise InputError(
            f"{flops} FLOPs, {moved_bytes} and {least_bytes} bytes in {latency_ms:g} ms; "
            "bytes and time must be positive, FLOPs 0 or more"
        )
    flops_per_s = flops / latency_ms * 1e3
    bytes_per_s = moved_bytes / latency_ms * 1e3
    # Shares of the measured peaks, not of a data sheet, so that 1 can be reached.
    compute_share = flops_per_s / roof.flops_per_s
    bandwidth_share = bytes_per_s / roof.bytes_per_s
    intensity = flops / moved_bytes
    return Achieved(
        flops_per_s=flops_per_s,
        bytes_per_s=bytes_per_s,
        intensity_flops_per_byte=intensity,
        fused_intensity_flops_per_byte=flops / least_bytes,
        compute_share=compute_share,
        bandwidth_share=bandwidth_share,
        roof_flops_per_s=roof.at(intensity),
        # Equal to FLOP/s over the roof, and defined for a network without FLOPs too.
        roof_share=max(compute_share, bandwidth_share),
        bound=_bound(compute_share, bandwidth_share),
    )


def _bound(compute_share: float, bandwidth_share: float) -> Bound:
    # Far from both roofs the device mostly waits, so that neither peak is what holds it back.
    if max(compute_share, bandwidth_share) < OVERHEAD_BELOW:
        return "overhead"
    return "compute" if compute_share >= bandwidth_share else "memory"
