"""What the tables of measurements say, cell by cell."""

from __future__ import annotations

import pytest

from blockzoo.report.tables.measured import cost_table, latency_table, memory_table, parts_table
from tests.record_samples import cost, latency, memory
from tests.report.tables.reading import column_of, rows_of


@pytest.mark.parametrize(
    ("interval", "cell"),
    [
        ((0.012, 0.0127), "12.346 (12.000 to 12.700, n = 3)"),
        ((-0.001, 0.0257), "12.346 (-1.000 to 25.700, n = 3, not told from idle)"),
        ((0.0, 0.0247), "12.346 (0.000 to 24.700, n = 3, not told from idle)"),
    ],
)
def test_energy_has_its_interval_and_says_where_it_is_no_more_than_idling(
    interval: tuple[float, float], cell: str
) -> None:
    record = latency(
        energy_j_per_image=0.0123456,
        energy_interval_j=interval,
        energy_repetitions_j=(0.012, 0.0123, 0.0127),
    )
    assert column_of(latency_table([record]), "mJ/image") == [cell]


def test_files_and_memory_are_columns_where_any_is_known() -> None:
    plain = latency("eager")
    exported = latency("onnx", backend="onnxruntime").model_copy(
        update={"exported_bytes": 4_423_374, "process_memory_bytes": 9_900_000}
    )
    table = latency_table([plain, exported])
    assert list(table.columns)[-2:] == ["file MB", "memory MB"]
    assert [row[-2:] for row in rows_of(table)] == [["-", "-"], ["4.42", "9.90"]]
    assert {"file MB", "memory MB"}.isdisjoint(latency_table([plain]).columns)


def test_what_a_training_step_costs_is_in_the_tables() -> None:
    step = memory(64, 80_000_000).model_copy(update={"optimizer": "adamw, averaged weights"})
    record = cost(training_macs=172_345_678, stage_training_macs=90_001, memory_training=step)
    assert column_of(cost_table([record]), "MMACs training") == ["172.35"]
    assert {"172,345,678", "90,001"} <= {*column_of(parts_table(record), "MACs training")}
    runs = column_of(memory_table(record), "run")
    assert "training step, batch 64 (adamw, averaged weights)" in runs


def test_a_record_from_before_training_macs_has_a_dash() -> None:
    assert column_of(cost_table([cost()]), "MMACs training") == ["-"]
