from __future__ import annotations

import pytest
import torch

from blockzoo.core.errors import BlockZooError
from blockzoo.measure.machine import devices
from blockzoo.measure.machine.devices import require_working, works


def test_a_cpu_works_and_a_gpu_that_is_not_there_does_not() -> None:
    assert works("cpu")
    assert works("cuda:0") is torch.cuda.is_available()
    assert not works("cuda:63")


def test_a_gpu_whose_context_is_gone_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch, "ones", gone)
    assert not works("cuda:0")
    require_working(torch.device("cpu"), "Good (mid)")
    with pytest.raises(
        BlockZooError, match=r"^cuda:0 was lost by Bad \(mid\); what comes after it"
    ):
        require_working(torch.device("cuda:0"), "Bad (mid)")


@pytest.mark.parametrize(
    ("cores", "quota", "usable"),
    [(8, None, 8), (8, 2.0, 2), (8, 2.9, 2), (8, 0.3, 1), (2, 4.0, 2), (1, None, 1)],
)
def test_no_more_threads_than_the_cores_or_a_quota_let_run_at_once(
    cores: int, quota: float | None, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "available_cores", lambda: cores)
    assert devices.usable_cores(quota) == usable
