from __future__ import annotations

from blockzoo.analysis.ways import way_ratios
from blockzoo.report.tables.ways import ways_table
from tests.analysis.test_ways import EAGER, INT8, ONNX, timed
from tests.report.tables.reading import rows_of


def cells(ratio: str) -> tuple[str, str, str]:
    return ratio, f"{ratio} to {ratio}", "faster"


def test_each_way_stands_with_what_it_is_against() -> None:
    assert rows_of(ways_table(way_ratios([EAGER, ONNX, INT8]))) == [
        ["A", "mid", *("fp32, onnxruntime", "fp32, eager"), *cells("0.7500")],
        ["A", "mid", *("int8, onnxruntime", "fp32, onnxruntime"), *cells("0.4000")],
        ["A", "mid", *("int8, onnxruntime", "fp32, eager"), *cells("0.3000")],
    ]


def test_what_goes_without_saying_and_what_was_not_paired_are_said() -> None:
    cold = timed("eager", 3.0, cache="cold")
    lost = timed("eager", 1.0, block="B", process_counts=(9,))
    table = rows_of(
        ways_table(way_ratios([EAGER, cold, lost, timed("eager", 1.0, block="B", cache="cold")]))
    )
    assert table[0][2:5] == ["cold caches", "as usual", "1.5000"]
    reason = "not paired: networks were sampled in different numbers of processes"
    assert table[1] == ["B", "mid", "cold caches", "as usual", "-", "-", reason]


def test_why_verdicts_are_undecided_is_said_once_for_all() -> None:
    unsure = [timed(name, 2.0, calls_per_sample=()) for name in ("openvino", "export")]
    table = ways_table(way_ratios([EAGER, *unsure]))
    assert {row[-1] for row in rows_of(table)} == {"undecided"}
    assert table.caption == "undecided (2): of how many calls its samples are means was not kept"
    assert ways_table(way_ratios([EAGER, ONNX])).caption == ""


def test_several_sessions_are_told_apart() -> None:
    again = [timed(name, 1.0, session="t", block="B") for name in ("eager", "openvino")]
    table = rows_of(ways_table(way_ratios([EAGER, ONNX, *again])))
    assert [row[0] for row in table] == ["A [1]", "B [2]"]
