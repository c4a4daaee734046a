"""Records as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from rich.text import Text

from blockzoo.analysis.launching import launch_bound
from blockzoo.core.position import Position
from blockzoo.core.run_way import differing_fields
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
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


def cost_table(records: Sequence[CostRecord]) -> FittedTable:
    """Return one row per network and position: counts of network and stage, in both forms."""
    numbers: dict[str, Kind] = dict.fromkeys(_COST_TITLES, "number")
    table = FittedTable(
        title="Cost of one image (whole network | stage under test)",
        columns={"block": "name", "position": "label", **numbers},
        dispensable=_DISPENSABLE_COSTS,
    )
    for record in records:
        for position in record.shown:
            if (cells := _cost_cells(record, position)) is None:
                table.add_reason(record.block, str(position), reason=failed(record.reason))
            else:
                table.add_row(record.block, str(position), *cells)
    return table


_COST_TITLES = (
    *("params train", "params deploy", "MMACs deploy", "MMACs training"),
    *("stage params", "stage MMACs", "inference MB", "training MB"),
)
# The stage is what blocks differ by; what it costs to train is told beside it where there is room.
_DISPENSABLE_COSTS = (
    *("MMACs training", "params train", "training MB", "inference MB"),
    *("params deploy", "MMACs deploy"),
)


def _cost_cells(record: CostRecord, position: Position) -> list[str] | None:
    stage = record.stage_at(position)
    if record.train is None or record.deploy is None or stage is None:
        return None
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


def parts_table(record: CostRecord) -> FittedTable:
    """Return the cost of one network part by part.

    "MACs train" is a forward pass of the training form, "MACs training" forward and backward.
    """
    titles = (
        *("params train", "params deploy"),
        *("MACs train", "MACs deploy", "FLOPs deploy", "MACs training"),
    )
    numbers: dict[str, Kind] = dict.fromkeys(titles, "number")
    table = FittedTable(
        title=f"{record.block}, {where(record)}: part by part",
        columns={"part": "label", **numbers},
        dispensable=("FLOPs deploy", "MACs train", "params train", "MACs training"),
    )
    for part in record.parts:
        table.add_row(part.name, *_form_cells(part.train, part.deploy, part.training_macs))
    if record.uncounted:
        table.caption = f"Not among the MACs: {_uncounted(record)}"
    if record.train is not None and record.deploy is not None:
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


def memory_table(record: CostRecord) -> FittedTable:
    """Return the peak memory of inference and of a training step, by category, in bytes."""
    # Each is also a field of `MemoryUse`, without its `_bytes`.
    titles = ("peak", "parameters", "gradients", "optimizer", "activations", "temporaries")
    numbers: dict[str, Kind] = dict.fromkeys(titles, "number")
    table = FittedTable(
        title="Peak memory, bytes",
        columns={"run": "text", **numbers},
        dispensable=("temporaries", "optimizer", "gradients", "parameters", "activations"),
    )
    runs = (("inference", record.memory_inference), ("training step", record.memory_training))
    for name, memory in runs:
        if memory is not None:
            cells = [f"{getattr(memory, f'{title}_bytes'):,}" for title in titles]
            by = f" ({memory.optimizer})" if memory.optimizer else ""
            table.add_row(f"{name}, batch {memory.batch_size}{by}", *cells)
    return table


def measured_memory_table(records: Sequence[CostRecord]) -> FittedTable:
    """Return one row per record: the peaks counted from shapes and those of real processes."""
    device = next((r.measured_memory_device for r in records if r.measured_memory_device), "cpu")
    whose = "the process" if device == "cpu" else f"the allocator of {device}"
    runs = ("inference", "training")
    numbers: dict[str, Kind] = {
        f"{run} {title}": "number" for run in runs for title in ("counted", "measured", "ratio")
    }
    table = FittedTable(
        title=f"Peak memory, MB: counted from shapes and of {whose}",
        columns={"block": "name", "position": "label", **numbers},
        dispensable=[f"{run} {title}" for title in ("counted", "measured") for run in runs],
    )
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


def latency_table(records: Sequence[LatencyRecord]) -> FittedTable:
    """Return one row per record: median with its interval, ratio to the baseline, verdict.

    How the networks were run is in the title where all records agree, else a column for each field.

    >>> latency_table([]).title
    'Latency'
    """
    # What is alike is said once, in the title; a column of equal values tells nothing.
    differing = differing_fields(record.way for record in records)
    # Asked for seldom, and a column of dashes tells nothing.
    deployed = [
        title for title, cell in _DEPLOYED.items() if any(cell(record) != "-" for record in records)
    ]
    # Only where both eager and CUDA graphs were timed is there something to divide.
    launching = launch_bound(records)
    ways: dict[str, Kind] = {name.replace("_", " "): "label" for name in differing}
    # Energy says what is not certain of it.
    further: dict[str, Kind] = {
        title: "text" if title == "mJ/image" else "number" for title in deployed
    }
    if launching:
        further["eager / graph"] = "number"
    table = FittedTable(
        title=_latency_title(records, differing),
        columns={"block": "name", "position": "label", **ways, **_LATENCY_COLUMNS, **further},
        dispensable=_DISPENSABLE_OF_LATENCY,
    )
    for record in records:
        way = record.way
        place = [record.block, where(record), *(str(getattr(way, name)) for name in differing)]
        if record.median_ms is None:
            table.add_reason(*place, reason=failed(record.reason))
            continue
        cells = [*_latency_cells(record), *(_DEPLOYED[title](record) for title in deployed)]
        if launching:
            factor = launching.get(record.trial_id)
            cells.append("-" if factor is None else f"{factor.value:.2f}")
        table.add_row(*place, *cells)
    return table


_LATENCY_COLUMNS: dict[str, Kind] = {
    **dict.fromkeys(("median ms", "95% interval", "images/s", "ratio", "ratio 95%"), "number"),
    "verdict": "label",
    "samples": "number",
    "flags": "text",
}
# What was asked for beside the latency stays: it is why the command was run.
_DISPENSABLE_OF_LATENCY = ("samples", "images/s", "95% interval", "ratio 95%", "flags", "median ms")


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
    measured_on = ", ".join(filter(None, (common, first.environment.named_processor)))
    return f"Latency in deploy form: {measured_on}"


def _latency_cells(record: LatencyRecord) -> list[str]:
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
