"""The search for the best batch: it stops where doubling no longer pays, or memory ends."""

from __future__ import annotations

import pytest
import torch

from blockzoo.core.errors import InputError
from blockzoo.measure.machine.devices import is_out_of_memory
from blockzoo.measure.timing.api import search_throughput


def test_it_stops_after_two_doublings_without_gain() -> None:
    # 1 ms of overhead and 0.1 ms per image up to 8, where caches end: then 0.3 ms per image.
    def latency_ms(batch: int) -> float:
        return 1 + 0.1 * batch if batch <= 8 else 0.3 * batch

    search = search_throughput(latency_ms)
    assert [point.batch_size for point in search.points] == [1, 2, 4, 8, 16, 32]
    assert search.best.batch_size == 8
    assert search.best.images_per_s == pytest.approx(8 / 1.8 * 1e3)
    assert search.stopped_by == "no gain"


def test_it_ends_at_the_largest_batch_while_it_still_gains() -> None:
    search = search_throughput(lambda batch: 1 + 0.01 * batch, largest_batch=48)
    assert [point.batch_size for point in search.points] == [1, 2, 4, 8, 16, 32]
    assert (search.best.batch_size, search.stopped_by) == (32, "largest batch")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_the_end_of_memory_ends_the_search(error: Exception) -> None:
    def latency_ms(batch: int) -> float:
        if batch > 4:
            raise error
        return 1.0

    search = search_throughput(latency_ms)
    assert (search.best.batch_size, search.stopped_by) == (4, "out of memory")


def test_other_errors_and_one_image_too_many_are_raised() -> None:
    def wrong(batch: int) -> float:
        raise RuntimeError("shapes do not match")

    def too_large(batch: int) -> float:
        raise MemoryError("one image")

    assert not is_out_of_memory(ValueError("allocate memory"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        search_throughput(wrong)
    with pytest.raises(MemoryError, match="one image"):
        search_throughput(too_large)
    with pytest.raises(InputError, match="largest batch is 0"):
        search_throughput(lambda batch: 1.0, largest_batch=0)
