from __future__ import annotations

import pytest

from blockzoo.analysis.roofline import Bound, Roof, place_under
from blockzoo.core.errors import InputError

ROOF = Roof(flops_per_s=100e9, bytes_per_s=10e9)


def test_the_roof_rises_to_the_ridge_and_is_flat_beyond() -> None:
    assert ROOF.ridge_flops_per_byte == 10
    assert [ROOF.at(x) for x in (0, 5, 10, 20)] == [0, 50e9, 100e9, 100e9]


def test_rates_shares_and_intensities_by_hand() -> None:
    # 40 MFLOP and 8 MB in 1 ms: 40 of 100 GFLOP/s, 8 of 10 GB/s, under a roof of 5 x 10 GFLOP/s.
    found = place_under(
        ROOF, flops=40_000_000, moved_bytes=8_000_000, least_bytes=2_000_000, latency_ms=1.0
    )
    assert found.flops_per_s == pytest.approx(40e9)
    assert found.bytes_per_s == pytest.approx(8e9)
    assert found.intensity_flops_per_byte == 5
    assert found.fused_intensity_flops_per_byte == 20
    assert found.compute_share == pytest.approx(0.4)
    assert found.bandwidth_share == pytest.approx(0.8)
    assert found.roof_flops_per_s == 50e9
    assert found.roof_share == pytest.approx(found.flops_per_s / found.roof_flops_per_s)
    assert found.bound == "memory"


@pytest.mark.parametrize(
    ("flops", "moved_bytes", "share", "bound"),
    [
        (60_000_000, 1_000_000, 0.6, "compute"),
        (25_000_000, 2_500_000, 0.25, "compute"),
        (0, 4_000_000, 0.4, "memory"),
        (0, 12_000_000, 1.2, "memory"),
        (24_000_000, 2_400_000, 0.24, "overhead"),
    ],
)
def test_what_bounds(flops: int, moved_bytes: int, share: float, bound: Bound) -> None:
    found = place_under(ROOF, flops=flops, moved_bytes=moved_bytes, least_bytes=1, latency_ms=1.0)
    assert found.roof_share == pytest.approx(share)
    assert found.bound == bound


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="both must be positive"):
        Roof(flops_per_s=1.0, bytes_per_s=0.0)
    with pytest.raises(InputError, match="1 FLOPs, 0 and 1 bytes in 1 ms"):
        place_under(ROOF, flops=1, moved_bytes=0, least_bytes=1, latency_ms=1.0)
