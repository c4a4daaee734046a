"""What `profile` and `benchmark` share: the scaffold, how to time it, the live table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from blockzoo.core.position import Position
    from blockzoo.core.run_way import RunWay
    from blockzoo.measure.timing.settings import LatencySettings
    from blockzoo.results.records import LatencyRecord, Record
    from blockzoo.scaffold.net import ScaffoldConfig


def scaffold_of(
    protocol: str,
    context: str | None,
    depth: int | None,
    width: int | None,
    classes: int,
    input_shape: tuple[int, int, int],
) -> ScaffoldConfig:
    """Return the protocol's scaffold with what the options change."""
    from blockzoo.experiments.protocol import get_protocol

    changed = get_protocol(protocol).changed(context=context, depth=depth, width=width)
    return changed.scaffold(classes=classes, input_shape=input_shape)


def latency_settings(
    device: str, batch_size: int, warmup_runs: int | None, benchmark_runs: int | None
) -> LatencySettings:
    """Return the settings; runs that are asked for are run exactly, in one process."""
    from blockzoo.core.run_way import RunWay
    from blockzoo.measure.timing.settings import LatencySettings

    settings = LatencySettings(way=RunWay(device=device, batch_size=batch_size))
    if warmup_runs is not None:
        settings = replace(settings, warmup_calls=warmup_runs)
    if benchmark_runs is not None:
        settings = replace(
            settings,
            min_rounds=benchmark_runs,
            rounds_max=benchmark_runs,
            budget_s=math.inf,
            processes=1,
        )
    return settings


def timed(
    blocks: list[str],
    positions: Sequence[Position],
    config: ScaffoldConfig,
    settings: LatencySettings,
    baseline: str | None,
    ways: Sequence[RunWay] = (),
    energy: bool = False,
) -> list[LatencyRecord]:
    """Measure, position by position as the sweep does, and print the table."""
    from blockzoo.cli.screen.consoles import message_console, output_console, report_unread_energy
    from blockzoo.cli.screen.timing_table import LiveTable, showing
    from blockzoo.experiments.benchmark import BenchmarkOptions, benchmark_blocks
    from blockzoo.report.tables.measured import latency_table

    table = LiveTable(processes=settings.processes, budget_s=settings.budget_s)
    with showing(table, message_console()) as listener:
        records = benchmark_blocks(
            blocks,
            positions,
            config=config,
            settings=settings,
            ways=ways,
            baseline=baseline,
            options=BenchmarkOptions(listener=listener, energy=energy),
        )
    output_console().print(latency_table(records))
    if energy:
        report_unread_energy(records)
    return records


def fail_if_any_failed(records: Sequence[Record]) -> None:
    """Exit with status 1 where a record failed."""
    failed = [record for record in records if record.status == "failed"]
    if failed:
        raise typer.Exit(1)
