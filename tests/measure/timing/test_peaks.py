from __future__ import annotations

from typing import Any

import pytest
import torch

from blockzoo.core.errors import DeviceError, InputError
from blockzoo.measure.timing import peaks
from blockzoo.measure.timing.clocks import Call, Timer
from blockzoo.measure.timing.peaks import ON_CUDA, Peaks, PeakSettings, measure_peaks

TINY = PeakSettings(matrix_side=10, copy_bytes=4000, repeats=3)


def fake_timer(nanoseconds: list[int]) -> Timer:
    remaining = iter(nanoseconds)

    def timer(call: Call, count: int) -> int:
        for _ in range(count):
            call()
        return next(remaining)

    return timer


def test_the_best_repetition_counts_and_copies_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "timer_of", lambda device: fake_timer([900, 500, 700, 80, 90, 100]))
    found = measure_peaks(settings=TINY)
    # 2 x 10^3 FLOPs in 500 ns; 4000 bytes read and written in 80 ns.
    assert found.flops_per_s == pytest.approx(4e9)
    assert found.bytes_per_s == pytest.approx(100e9)
    assert (found.device, found.threads, found.precision) == ("cpu", 1, "fp32")


def test_threads_hold_within_and_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def timer(call: Call, count: int) -> int:
        seen.append(torch.get_num_threads())
        return 1

    monkeypatch.setattr(peaks, "timer_of", lambda device: timer)
    before = torch.get_num_threads()
    assert measure_peaks(threads=before + 1, precision="bf16", settings=TINY).threads == before + 1
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


def test_a_real_clock_gives_positive_rates() -> None:
    found = measure_peaks(settings=TINY)
    assert found.flops_per_s > 0
    assert found.bytes_per_s > 0


def test_of_two_the_better_of_each_rate() -> None:
    base = {"device": "cpu", "threads": 1, "precision": "fp32"}
    first = Peaks(**base, flops_per_s=5.0, bytes_per_s=2.0)  # type: ignore[arg-type]
    second = Peaks(**base, flops_per_s=4.0, bytes_per_s=3.0)  # type: ignore[arg-type]
    assert first.best(second) == Peaks(**base, flops_per_s=5.0, bytes_per_s=3.0)  # type: ignore[arg-type]


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*sizes: Any, **options: Any) -> None:
        raise RuntimeError("not enough memory\nwith details")

    monkeypatch.setattr(torch, "rand", full)
    with pytest.raises(InputError, match=r"peaks of cpu cannot be measured: not enough memory$"):
        measure_peaks(settings=TINY)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="peaks in precision 'int8'; allowed: fp32, bf16, fp16"):
        measure_peaks(precision="int8")
    with pytest.raises(InputError, match="threads is 0"):
        measure_peaks(threads=0)
    with pytest.raises(InputError, match="matrix_side is 0"):
        PeakSettings(matrix_side=0)
    with pytest.raises(DeviceError, match="'tpu' is not available"):
        measure_peaks("tpu")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_peaks_of_a_gpu(precision: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    found = measure_peaks("cuda", precision=precision, settings=ON_CUDA)
    assert found.flops_per_s > 1e12
    assert found.bytes_per_s > 50e9
    assert torch.backends.cuda.matmul.allow_tf32 is False
