"""What `benchmark` does: how fast blocks run, side by side in the scaffold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from blockzoo.analysis.ways import way_ratios
from blockzoo.blocks import get_block
from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import (
    chosen_blocks,
    chosen_positions,
    chosen_scaffold,
    chosen_shape,
    chosen_threads,
)
from blockzoo.cli.actions.keeping import fail_if_any_failed, keep, require_usable
from blockzoo.cli.actions.machine import warn_of_contention
from blockzoo.cli.actions.plotting import write_plot
from blockzoo.cli.option_groups import BenchmarkOptions
from blockzoo.cli.screen.consoles import message_console, output_console, say
from blockzoo.cli.screen.timing_table import LiveTable, showing
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.benchmark import BenchmarkOptions as SessionOptions
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.settings import LatencySettings, resolved_way
from blockzoo.report.figures.formats import format_of
from blockzoo.report.tables import measured
from blockzoo.report.tables.ways import ways_table
from blockzoo.results.records import LatencyRecord
from blockzoo.results.table.latencies import latencies_frame
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.stats.verdicts import why_undecided


@blocks_apart
def benchmark(
    chosen: BenchmarkOptions, results: str | None, output: Path | None, plot: Path | None
) -> None:
    """Time blocks side by side, show the table and keep the records."""
    draw = _drawing(plot)
    shape, batch = chosen_shape(chosen.input_shape, chosen.batch_size, 1)
    config = chosen_scaffold(chosen, shape)
    settings = latency_settings(chosen.device, batch, chosen.warmup_runs, chosen.benchmark_runs)
    processes, budget_s = _effort(chosen, settings.processes)
    settings = replace(
        settings,
        way=replace(
            settings.way,
            threads=chosen_threads(chosen.threads),
            channels_last=chosen.channels_last,
        ),
        processes=processes,
        budget_s=budget_s,
    )
    names = chosen_blocks(chosen.blocks, chosen.everything)
    positions = chosen_positions(chosen.positions)
    if chosen.baseline is not None:
        # For its error alone, which is to come before the warning below; the context's too.
        get_block(chosen.baseline)
    get_block(config.context)
    ways = settings.way.crossed(
        backends=chosen.backends or (),
        precisions=chosen.precisions or (),
        caches=chosen.caches or (),
        forms=chosen.forms or (),
    )
    ways = possible_ways(ways)
    require_usable(results, output)
    warn_of_contention(chosen.device)  # after all that may be refused, so bad input is one line
    records = timed(names, positions, config, settings, ways, chosen)
    keep(records, results, output)
    draw(records)
    fail_if_any_failed(records)


def _drawing(plot: Path | None) -> Callable[[Sequence[LatencyRecord]], None]:
    """Return what draws the ratios; raises `InputError` for a name that is no plot's."""
    if plot is None:
        return lambda records: None
    format_of(plot)  # refused before the measurement and not after it

    def draw(records: Sequence[LatencyRecord]) -> None:
        if any(record.ratio is not None for record in records):
            from blockzoo.report.figures.latency_plot import plot_latencies

            write_plot(plot, plot_latencies(latencies_frame(records)))
        else:
            say("no ratio was measured, so there is nothing to draw")

    return draw


def possible_ways(ways: Sequence[RunWay]) -> tuple[RunWay, ...]:
    """Return the ways that their backends have, and say which of the others are left out, and why.

    Who asks for two backends and two precisions wants each pair that there is. Raises `InputError`
    where there is none, so nothing could be run.
    """
    # All are looked up, for one that is not known is wrong among any others.
    backends = [get_backend(way.backend) for way in ways]
    reasons = [
        backend.supports(resolved_way(way)) for backend, way in zip(backends, ways, strict=True)
    ]
    if reasons[0] is not None and all(reasons):
        raise InputError(f"nothing can be run so: {reasons[0]}")
    for way, reason in zip(ways, reasons, strict=True):
        if reason is not None:
            say(f"left out: {way.backend} in {way.precision} ({reason})")
    return tuple(way for way, reason in zip(ways, reasons, strict=True) if reason is None)


def latency_settings(
    device: str, batch_size: int, warmup_runs: int | None, benchmark_runs: int | None
) -> LatencySettings:
    """Return the settings; runs that are asked for are run exactly, in one process.

    >>> latency_settings("cpu", 1, warmup_runs=None, benchmark_runs=5).rounds_max
    5
    """
    settings = LatencySettings(way=RunWay(device=device, batch_size=batch_size))
    if warmup_runs is not None:
        settings = replace(settings, warmup_calls=warmup_runs)
    if benchmark_runs is not None:
        settings = replace(
            settings,
            min_rounds=benchmark_runs,
            rounds_max=benchmark_runs,
            # A budget could end the rounds early, and each of several processes would run them all.
            budget_s=math.inf,
            processes=1,
        )
    return settings


def _effort(chosen: BenchmarkOptions, usual_processes: int) -> tuple[int, float]:
    """Return processes and seconds of timing per block and position."""
    # Three ways to say one thing: how many processes.
    if (chosen.processes is not None) + chosen.rigorous + chosen.quick > 1:
        raise InputError("--processes, --rigorous and --quick exclude each other; give one")
    processes, budget_s = chosen.processes, chosen.budget_s
    if processes is None:
        processes = 20 if chosen.rigorous else 1 if chosen.quick else usual_processes
    if budget_s is None:
        budget_s = 10.0 if chosen.rigorous else 6.0
    return processes, budget_s


def timed(
    blocks: Sequence[str],
    positions: Sequence[Position],
    config: ScaffoldConfig,
    settings: LatencySettings,
    ways: Sequence[RunWay] = (),
    chosen: BenchmarkOptions | None = None,
) -> list[LatencyRecord]:
    """Measure with the live table shown, and print the table of the results.

    Of `chosen` are the baseline and whether memory and energy are measured.
    """
    chosen = chosen or BenchmarkOptions()
    table = LiveTable(processes=settings.processes, budget_s=settings.budget_s)
    with showing(table, message_console()) as listener:
        records = benchmark_blocks(
            blocks,
            positions,
            config=config,
            settings=settings,
            ways=ways,
            baseline=chosen.baseline,
            options=SessionOptions(listener=listener, memory=chosen.memory, energy=chosen.energy),
        )
    output_console().print(measured.latency_table(records))
    if ratios := way_ratios(records):
        output_console().print(ways_table(ratios))
    _say_why_undecided(records)
    if chosen.memory and all(record.process_memory_bytes is None for record in records):
        say("no memory was measured: it is for the CPU")
    if chosen.energy:
        _say_what_energy_needs(records)
    return records


def _say_why_undecided(records: Sequence[LatencyRecord]) -> None:
    for line in why_undecided(record.verdict_reason for record in records):
        say(line)


def _say_what_energy_needs(records: Sequence[LatencyRecord]) -> None:
    """Say, where energy was asked for and no record has any, what may be missing."""
    if all(record.energy_j_per_image is None for record in records):
        say(
            "no energy was measured: it is for hot caches and needs a counter: on a GPU "
            "NVML (pip install 'blockzoo[gpu]'), on a CPU the right to read "
            "/sys/class/powercap/intel-rapl:*/energy_uj"
        )
