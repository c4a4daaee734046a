from __future__ import annotations

from blockzoo.report.tables.latencies import latencies_table
from blockzoo.results.table.latencies import latencies_frame
from tests.analysis.test_summary import OTHER_SESSION
from tests.record_samples import cost, latency
from tests.report.tables.reading import column_of, rows_of


def test_every_way_is_a_row_and_what_differs_a_column() -> None:
    records = [cost(), latency("1"), latency("2", precision="int8", median_ms=3.0)]
    table = latencies_table(latencies_frame(records))
    assert list(table.columns) == [
        *("block", "position", "precision", "ms", "ratio", "baseline", "verdict"),
        *("MMACs", "params"),
    ]
    assert column_of(table, "precision") == ["fp32", "int8"]
    assert column_of(table, "ms") == ["5.000 (4.500 to 5.500)", "3.000 (4.500 to 5.500)"]
    assert column_of(table, "MMACs") == ["0.05", "0.05"]
    assert table.caption == ""


def test_what_was_exported_and_run_has_columns_where_any_is_known() -> None:
    exported = latency("2", backend="openvino").model_copy(
        update={
            "exported_bytes": 17_328_961,
            "process_memory_bytes": 36_200_000,
            "energy_j_per_image": 0.0123,
            "energy_interval_j": (0.011, 0.0136),
        }
    )
    frame = latencies_frame([latency("1"), exported])
    table = latencies_table(frame)
    assert column_of(table, "file MB") == ["-", "17.329"]
    assert column_of(table, "memory MB") == ["-", "36.200"]
    assert column_of(table, "mJ/image") == ["-", "12.300"]
    assert frame.loc[1, "exported_bytes"] == 17_328_961
    assert tuple(frame.loc[1, ["energy_low_j", "energy_high_j"]]) == (0.011, 0.0136)


def test_medians_of_several_runs_are_marked() -> None:
    two = latency("b", "B", median_ms=4.0, ratio=1.0).model_copy(update=OTHER_SESSION)
    table = latencies_table(latencies_frame([latency("a", median_ms=5.0), two]))
    assert [cell[-4:] for cell in column_of(table, "ms")] == [" [1]", " [2]"]
    assert column_of(table, "ratio") == ["0.900 (0.880 to 0.920)", "1.000 (0.880 to 0.920)"]
    assert "[1] torch 2.15.0, 2026-01-02T03:04; [2] torch 2.16.0" in str(table.caption)


def test_a_failure_stands_with_its_reason() -> None:
    failed = latency(status="failed", reason="parity", median_ms=None)
    (row,) = rows_of(latencies_table(latencies_frame([failed])))
    assert row == ["A", "mid", "failed: latency: parity"]
