"""Records as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from blockzoo.analysis.launching import launch_bound
from blockzoo.core.position import Position
from blockzoo.core.run_way import differing_fields
from blockzoo.results.records import (
    CostRecord,
    FormCost,
    LatencyRecord,
    MemoryUse,
    Record,
)

MEGA = 1e6


def where(record: Record) -> str:
    """Return the positions that were asked for and that the record stands for, as early/mid."""
    return "/".join(p.value for p in record.positions if p in record.shown)


def failed(reason: str | None) -> Text:
    """Return the reason of a failure, in red."""
    return Text(f"failed: {reason}", style="red")


def cost_table(records: Sequence[CostRecord]) -> Table:
    """Return one row per network and position: counts of network and stage, in both forms."""
    table = Table(title="Cost of one image (whole network | stage under test)", box=None)
    table.add_column("block")
    table.add_column("position")
    for title in (
        *("params train", "params deploy", "MMACs deploy", "MMACs training"),
        *("stage params", "stage MMACs"),
    ):
        table.add_column(title, justify="right")
    table.add_column("inference MB", justify="right")
    table.add_column("training MB", justify="right")
    for record in records:
        for position in record.shown:
            table.add_row(record.block, str(position), *_cost_cells(record, position))
    return table


def _cost_cells(record: CostRecord, position: Position) -> list[str | Text]:
    stage = record.stage_at(position)
    if record.train is None or record.deploy is None or stage is None:
        return [failed(record.reason)]
    return [
        f"{record.train.params_total:,}",
        f"{record.deploy.params_total:,}",
        f"{record.deploy.macs / MEGA:,.2f}",
        "-" if record.training_macs is None else f"{record.training_macs / MEGA:,.2f}",
        f"{stage.deploy.params_total:,}",
        f"{stage.deploy.macs / MEGA:,.2f}",
        _megabytes(record.memory_inference),
        _megabytes(record.memory_training),
    ]


def _megabytes(memory: MemoryUse | None) -> str:
    return "-" if memory is None else f"{memory.peak_bytes / MEGA:,.1f}"


def parts_table(record: CostRecord) -> Table:
    """Return the cost of one network part by part.

    "MACs train" is a forward pass of the training form, "MACs training" forward and backward.
    """
    table = Table(title=f"{record.block}, {where(record)}: part by part", box=None)
    table.add_column("part")
    table.add_column("params train", justify="right")
    for title in ("params deploy", "MACs train", "MACs deploy", "FLOPs deploy", "MACs training"):
        table.add_column(title, justify="right")
    for part in record.parts:
        table.add_row(part.name, *_form_cells(part.train, part.deploy, part.training_macs))
    if record.uncounted:
        table.caption = f"Not among the MACs: {_uncounted(record)}"
    if record.train is not None and record.deploy is not None:
        table.add_section()
        whole = _form_cells(record.train, record.deploy, record.training_macs)
        table.add_row("whole", *whole, style="bold")
    for position in record.shown:
        if (stage := record.stage_at(position)) is not None:
            # Of several each says which it is.
            which = f" ({position})" if len(record.shown) > 1 else ""
            cells = _form_cells(stage.train, stage.deploy, stage.training_macs)
            table.add_row(f"stage under test{which}", *cells)
    return table


def _uncounted(record: CostRecord) -> str:
    """Return the operations no counter saw, with their MACs in the deploy form where known."""
    known = record.uncounted_macs
    return ", ".join(
        f"{name} (about {known[name]:,})" if name in known else name for name in record.uncounted
    )


def _form_cells(train: FormCost, deploy: FormCost, training_macs: int | None) -> list[str]:
    numbers = (
        train.params_total,
        deploy.params_total,
        train.macs,
        deploy.macs,
        deploy.flops,
        training_macs,
    )
    return ["-" if number is None else f"{number:,}" for number in numbers]


def memory_table(record: CostRecord) -> Table:
    """Return the peak memory of inference and of a training step, by category, in bytes."""
    table = Table(title="Peak memory, bytes", box=None)
    # Each is also a field of `MemoryUse`, without its `_bytes`.
    titles = ("peak", "parameters", "gradients", "optimizer", "activations", "temporaries")
    table.add_column("run")
    for title in titles:
        table.add_column(title, justify="right")
    runs = (("inference", record.memory_inference), ("training step", record.memory_training))
    for name, memory in runs:
        if memory is not None:
            cells = [f"{getattr(memory, f'{title}_bytes'):,}" for title in titles]
            by = f" ({memory.optimizer})" if memory.optimizer else ""
            table.add_row(f"{name}, batch {memory.batch_size}{by}", *cells)
    return table


def measured_memory_table(records: Sequence[CostRecord]) -> Table:
    """Return one row per record: the peaks counted from shapes and those of real processes."""
    device = next((r.measured_memory_device for r in records if r.measured_memory_device), "cpu")
    whose = "the process" if device == "cpu" else f"the allocator of {device}"
    table = Table(title=f"Peak memory, MB: counted from shapes and of {whose}", box=None)
    table.add_column("block")
    table.add_column("position")
    for run in ("inference", "training"):
        for title in ("counted", "measured", "ratio"):
            table.add_column(f"{run} {title}", justify="right")
    for record in records:
        if record.status == "ok":
            inference = (record.memory_inference, record.measured_inference_bytes)
            training = (record.memory_training, record.measured_training_bytes)
            cells = (*_side_by_side(*inference), *_side_by_side(*training))
            table.add_row(record.block, where(record), *cells)
    return table


def _side_by_side(counted: MemoryUse | None, measured_bytes: int | None) -> tuple[str, str, str]:
    if counted is None or measured_bytes is None:
        return _megabytes(counted), "-", "-"
    # How far the formula is from the process; 1 is what it promises.
    ratio = f"{measured_bytes / counted.peak_bytes:.2f}"
    return _megabytes(counted), f"{measured_bytes / MEGA:,.1f}", ratio


def latency_table(records: Sequence[LatencyRecord]) -> Table:
    """Return one row per record: median with its interval, ratio to the baseline, verdict.

    How the networks were run is in the title where all records agree, else a column for each field.

    >>> latency_table([]).title
    'Latency'
    """
    # What is alike is said once, in the title; a column of equal values tells nothing.
    differing = differing_fields(record.way for record in records)
    table = Table(title=_latency_title(records, differing), box=None)
    for title in ("block", "position", *(name.replace("_", " ") for name in differing)):
        table.add_column(title)
    for title in ("median ms", "95% interval", "images/s", "ratio", "95% interval"):
        table.add_column(title, justify="right")
    for title in ("verdict", "samples", "flags"):
        table.add_column(title)
    # Asked for seldom, and a column of dashes tells nothing.
    deployed = [
        title for title, cell in _DEPLOYED.items() if any(cell(record) != "-" for record in records)
    ]
    for title in deployed:
        table.add_column(title, justify="right")
    # Only where both eager and CUDA graphs were timed is there something to divide.
    launching = launch_bound(records)
    if launching:
        table.add_column("eager / graph", justify="right")
    for record in records:
        way = record.way
        place = [record.block, where(record), *(str(getattr(way, name)) for name in differing)]
        cells = [*_latency_cells(record), *(_DEPLOYED[title](record) for title in deployed)]
        # A row that failed ends with its reason.
        if launching and record.median_ms is not None:
            factor = launching.get(record.trial_id)
            cells.append("-" if factor is None else f"{factor.value:.2f}")
        table.add_row(*place, *cells)
    return table


def _energy(record: LatencyRecord) -> str:
    joules, interval = record.energy_j_per_image, record.energy_interval_j
    if joules is None or interval is None:  # a record from before it was repeated has no interval
        return "-" if joules is None else f"{1e3 * joules:,.3f}"
    low, high = (f"{1e3 * end:,.3f}" for end in interval)
    not_above = "" if interval[0] > 0 else ", not told from idle"
    n = len(record.energy_repetitions_j)
    return f"{1e3 * joules:,.3f} ({low} to {high}, n = {n}{not_above})"


def _bytes_in_mb(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / MEGA:,.2f}"


_DEPLOYED: dict[str, Callable[[LatencyRecord], str]] = {
    "file MB": lambda record: _bytes_in_mb(record.exported_bytes),
    "memory MB": lambda record: _bytes_in_mb(record.process_memory_bytes),
    "mJ/image": _energy,
}
"""What is known of the exported network beside its latency, by title."""


def _latency_title(records: Sequence[LatencyRecord], differing: Sequence[str]) -> str:
    first = next((record for record in records if record.status == "ok"), None)
    if first is None:  # nothing was measured in any way
        return "Latency"
    common = first.way.label({*asdict(first.way)} - {*differing})
    measured_on = ", ".join(filter(None, (common, first.environment.processor)))
    return f"Latency in deploy form: {measured_on}"


def _latency_cells(record: LatencyRecord) -> list[str | Text]:
    if record.median_ms is None:
        return [failed(record.reason)]
    return [
        f"{record.median_ms:.3f}",
        _interval(record.interval_ms),
        f"{record.throughput_images_per_s:,.0f}" if record.throughput_images_per_s else "-",
        "-" if record.ratio is None else f"{record.ratio:.4f}",
        _interval(record.ratio_interval, digits=4),
        record.verdict or "-",
        str(len(record.samples_ms)),
        ", ".join(record.flags),
    ]


def _interval(interval: tuple[float, float] | None, digits: int = 3) -> str:
    return "-" if interval is None else f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"
