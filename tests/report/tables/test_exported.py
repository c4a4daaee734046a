from __future__ import annotations

from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.exported import Exported
from blockzoo.report.tables.exported import exported_table, reason_lines
from tests.report.tables.reading import drawn

INT8 = RunWay(backend="onnxruntime", precision="int8")


def _found(seed: int, accuracy: float | None, reason: str = "") -> Exported:
    return Exported(
        block="A",
        position=Position.MID,
        seed=seed,
        way=INT8,
        trained_accuracy=0.80,
        accuracy=accuracy,
        agreement=None if accuracy is None else 0.95,
        exported_bytes=None if accuracy is None else 250_000,
        reason=reason,
    )


def _rows(found: list[Exported]) -> list[str]:
    return drawn(exported_table(found), 120).splitlines()


def test_means_over_seeds_and_what_it_costs_of_the_training() -> None:
    (row,) = [
        line.split() for line in _rows([_found(0, 0.78), _found(1, 0.79)]) if "A" in line[:20]
    ]
    # -2 and -1 points: t(1, 0.975) is 12.71, times a deviation of 0.71 over the root of 2.
    assert row == [
        "mid",
        "A",
        "onnxruntime",
        "int8",
        "2",
        "78.50",
        "-1.50",
        "-7.85",
        "to",
        "+4.85",
        "95.0%",
        "0.25",
    ]


def test_what_could_not_be_run_is_a_row_and_a_reason() -> None:
    failed = _found(0, None, "the weights are not at a.pt any more")
    (row,) = [line.split() for line in _rows([failed]) if "int8" in line]
    assert row == ["mid", "A", "onnxruntime", "int8", "1", "-", "-", "-", "-", "-"]
    assert reason_lines([failed]) == [
        "A (mid), seed 0, onnxruntime int8: the weights are not at a.pt any more"
    ]
