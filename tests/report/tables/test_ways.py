from __future__ import annotations

from rich.table import Table

from blockzoo.analysis.ways import way_ratios
from blockzoo.report.tables.ways import ways_table
from tests.analysis.test_ways import EAGER, INT8, ONNX, timed


def rows(table: Table) -> list[list[str]]:
    return [list(row) for row in zip(*(column._cells for column in table.columns), strict=True)]  # type: ignore[arg-type]


def test_each_way_stands_with_what_it_is_against() -> None:
    assert rows(ways_table(way_ratios([EAGER, ONNX, INT8]))) == [
        ["A", "mid", "fp32, onnxruntime", "fp32, eager", "0.7500", "0.7500 to 0.7500", "faster"],
        ["A", "mid", "int8, onnxruntime", "fp32, onnxruntime", "0.4000", "0.4000 to 0.4000", "faster"],
        ["A", "mid", "int8, onnxruntime", "fp32, eager", "0.3000", "0.3000 to 0.3000", "faster"],
    ]  # fmt: skip


def test_what_goes_without_saying_and_what_was_not_paired_are_said() -> None:
    cold = timed("eager", 3.0, cache="cold")
    lost = timed("eager", 1.0, block="B", process_counts=(9,))
    table = rows(
        ways_table(way_ratios([EAGER, cold, lost, timed("eager", 1.0, block="B", cache="cold")]))
    )
    assert table[0][2:5] == ["cold caches", "as usual", "1.5000"]
    reason = "not paired: networks were sampled in different numbers of processes"
    assert table[1] == ["B", "mid", "cold caches", "as usual", "-", "-", reason]


def test_several_sessions_are_told_apart() -> None:
    again = [timed(name, 1.0, session="t", block="B") for name in ("eager", "openvino")]
    table = rows(ways_table(way_ratios([EAGER, ONNX, *again])))
    assert [row[0] for row in table] == ["A [1]", "B [2]"]
