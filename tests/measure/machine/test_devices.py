from __future__ import annotations

import pytest
import torch

from blockzoo.core.errors import BlockZooError
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
