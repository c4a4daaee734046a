"""Eager time over that of a CUDA graph, from made-up samples."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from blockzoo.analysis.launching import launch_bound
from blockzoo.report.tables.measured import latency_table
from blockzoo.results.records import LatencyRecord
from tests import record_samples


def timed(name: str, backend: str, *samples_ms: float, **changes: Any) -> LatencyRecord:
    given: dict[str, Any] = {
        "rounds": tuple(range(len(samples_ms))),
        "process_counts": (len(samples_ms),),
        "median_ms": samples_ms[0],
        **changes,
    }
    return record_samples.latency(name, backend=backend, samples_ms=samples_ms, **given)


EAGER, GRAPH = timed("e", "eager", 6.0, 9.0, 6.0), timed("g", "cudagraphs", 2.0, 3.0, 2.0)


def test_the_factor_is_that_within_rounds_and_of_both_records() -> None:
    found = launch_bound([EAGER, GRAPH])
    assert {name: (each.value, each.interval) for name, each in found.items()} == {
        "e": (3.0, (3.0, 3.0)),
        "g": (3.0, (3.0, 3.0)),
    }


@pytest.mark.parametrize(
    "other",
    [
        timed("g", "compile", 2.0, 3.0, 2.0),
        timed("g", "cudagraphs", 2.0, 3.0, 2.0, block="Other"),
        timed("g", "cudagraphs", 2.0, 3.0, 2.0, precision="bf16"),
        timed("g", "cudagraphs", 2.0, 3.0, 2.0, cache="cold"),
        timed("g", "cudagraphs", 2.0, 3.0, 2.0, batch_size=2),
        timed("g", "cudagraphs", 2.0, 3.0, 2.0, median_ms=None, status="failed"),
        timed("g", "cudagraphs", 2.0, 3.0, process_counts=(1, 1), rounds=(0, 0)),  # a process more
    ],
    ids=["backend", "block", "precision", "cache", "batch", "failed", "processes"],
)
def test_only_the_same_network_run_alike_is_compared(other: LatencyRecord) -> None:
    assert launch_bound([EAGER, other]) == {}


def test_the_table_has_it_where_both_were_timed(capsys: pytest.CaptureFixture[str]) -> None:
    failed = timed("f", "eager", 1.0, median_ms=None, status="failed", reason="no kernel")
    alone = timed("a", "eager", 5.0, 5.0, 5.0, block="Alone")
    Console(width=200).print(latency_table([EAGER, GRAPH, alone, failed]))
    _, heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split()[-3:] == ["eager", "/", "graph"]
    assert [line.split()[-1] for line in lines[:4]] == ["3.00", "3.00", "-", "kernel"]
    Console(width=200).print(latency_table([EAGER, alone]))
    assert "graph" not in capsys.readouterr().out
