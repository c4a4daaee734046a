"""The verb benchmark: scaffolded blocks in deploy form, gated, then timed against each other.

Every cell is a block at a position. All cells that pass their gate, see `latency_cells.py`, are
interleaved in one session, and each is compared with the baseline block at its own position.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from torch import nn

from blockzoo.blocks import BlockSpec, get_block
from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.position import Position
from blockzoo.experiments.benchmark_cells import (
    GatedCell,
    LatencyCell,
    gate,
    latency_cells,
    random_images,
    ways_to_run,
)
from blockzoo.experiments.identity import resolved, scaffold_settings
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.energy import measure_cell_energy
from blockzoo.measure.timing.events import Cells, Listener
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.sampling import Progress
from blockzoo.measure.timing.session import Cell, measure_cells
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import Environment, LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement


def benchmark_blocks(
    blocks: Sequence[str | BlockSpec],
    positions: Sequence[str | Position],
    *,
    config: ScaffoldConfig | None = None,
    settings: LatencySettings | None = None,
    baseline: str | BlockSpec | None = None,
    on_error: Literal["record", "raise"] = "record",
    progress: Progress | None = None,
    experiment_name: str = "",
    notes: str = "",
    backends: Sequence[str] = (),
    precisions: Sequence[str] = (),
    threads: Sequence[int] = (),
    caches: Sequence[str] = (),
    processes: int | None = None,
    listener: Listener | None = None,
    energy: bool = False,
) -> list[LatencyRecord]:
    """Time all blocks at all positions in one session; one record per network and way to run it.

    `backends`, `precisions`, `threads` and `caches` are crossed; where empty, and without
    `processes`, that of the settings holds. A ratio is to the baseline run in the same way.
    `listener` hears of the `Cells` by trial id before the timing, then what the measuring processes
    send.

    `baseline` is the first block unless named; one that is not among `blocks` is measured and
    returned too, before them. A network that is the same at several positions, with a baseline
    that is too, is measured once and its record lists the positions.

    A cell that cannot be built, fails its parity gate or raises becomes a failed record with its
    reason, or with `on_error` "raise" an exception. Raises `UnknownNameError` for an unknown block
    or position, `InputError` when there are none, and `DeviceError`.

    `energy` adds the energy per image, measured after the timing and in this process, of what runs
    eager and hot and was timed; it takes 13 s each, and nothing where no counter can be read.
    """
    if not blocks or not positions:
        raise InputError(f"{len(blocks)} blocks and {len(positions)} positions given; give some")
    settings = resolved(settings or LatencySettings())
    if processes is not None:
        settings = replace(settings, processes=processes)
    session = _Session(
        config=config or ScaffoldConfig(),
        settings=settings,
        ways=ways_to_run(settings, backends, precisions, threads, caches),
        baseline=_spec(blocks[0] if baseline is None else baseline),
        on_error=on_error,
    )
    cells = latency_cells(
        [_spec(block) for block in blocks],
        [Position.parse(str(p)) for p in positions],
        config=session.config,
        ways=session.ways,
        baseline=session.baseline,
    )
    gated = [gate(cell, session.config, raises=on_error == "raise") for cell in cells]
    results = session.measure(gated, progress, listener)
    records = [session.record(each, results) for each in gated]
    if energy:
        records = [session.with_energy(*pair) for pair in zip(records, gated, strict=True)]
    labels = {"experiment_name": experiment_name, "notes": notes}
    return [record.model_copy(update=labels) for record in records]


@dataclass(frozen=True, kw_only=True)
class _Session:
    """What all cells of one call have in common, and the steps that each goes through."""

    config: ScaffoldConfig
    settings: LatencySettings
    ways: tuple[LatencySettings, ...]
    baseline: BlockSpec
    on_error: Literal["record", "raise"]

    def measure(
        self,
        gated: Sequence[GatedCell],
        progress: Progress | None,
        listener: Listener | None = None,
    ) -> dict[str, LatencyResult]:
        """Time all networks that passed, and return the results by trial id."""
        passed = {each.cell.trial_id for each in gated if each.network is not None}
        cells = [
            self._timed(each.cell, each.network, passed)
            for each in gated
            if each.network is not None
        ]
        if listener is not None:
            labels = {e.cell.trial_id: self._label(e.cell) for e in gated if e.network is not None}
            listener(Cells(labels=labels))
        return measure_cells(cells, self.settings, progress=progress, listener=listener)

    def _label(self, cell: LatencyCell) -> str:
        """Return block and position, and the way to run it where there are several."""
        way = cell.settings
        place = f"{cell.spec.name} {'/'.join(map(str, cell.positions))}"
        if len(self.ways) == 1:
            return place
        cache = f" {way.cache}" if len({each.cache for each in self.ways}) > 1 else ""
        return f"{place} {way.backend} {way.precision} {way.threads}t{cache}"

    def _timed(self, cell: LatencyCell, network: nn.Module, passed: Container[str] = ()) -> Cell:
        return Cell(
            name=cell.trial_id,
            model=network,
            example=random_images(self.settings.batch_size, self.config, self.settings.seed),
            options=cell.settings.cell_options,
            baseline=cell.baseline_id if cell.baseline_id in passed else None,
        )

    def with_energy(self, record: LatencyRecord, gated: GatedCell) -> LatencyRecord:
        """Return the record with its energy; without, if there is none to be had."""
        hot_eager = (record.backend, record.cache) == ("eager", "hot")
        if record.status == "failed" or not hot_eager or gated.network is None:
            return record
        try:
            measured = measure_cell_energy(self._timed(gated.cell, gated.network))
        except Exception:  # noqa: BLE001 - a block is foreign code; its latency is kept
            return record
        if measured is None:
            return record
        found = {
            "energy_j_per_image": measured.joules_per_image,
            "energy_counter": measured.counter,
        }
        return record.model_copy(update=found)

    def record(self, gated: GatedCell, results: Mapping[str, LatencyResult]) -> LatencyRecord:
        """Return the record of a cell; raises `BlockError` if it failed and `on_error` says so."""
        cell, settings = gated.cell, gated.cell.settings
        result = results.get(
            cell.trial_id, LatencyResult(failure=gated.reason, traceback=gated.traceback)
        )
        if result.failure is not None and self.on_error == "raise":
            raise BlockError(f"block {cell.spec.name} ({cell.position}): {result.failure}")
        measured = asdict(result)
        reason, trace = measured.pop("failure"), measured.pop("traceback")
        if reason is None and cell.baseline_id not in results:
            measured["flags"] = (*result.flags, "no baseline")
        return LatencyRecord(
            trial_id=cell.trial_id,
            status="ok" if reason is None else "failed",
            reason=reason,
            traceback=trace,
            block=cell.spec.name,
            block_fingerprint=Placement(cell.spec, cell.position, self.config).recorded_fingerprint,
            positions=cell.positions,
            scaffold=scaffold_settings(self.config),
            environment=_environment(settings),
            device=settings.device,
            backend=settings.backend,
            precision=settings.precision,
            channels_last=settings.channels_last,
            threads=settings.threads,
            cache=settings.cache,
            batch_size=settings.batch_size,
            baseline=self.baseline.name,
            parity_error=gated.parity_error,
            **measured,
        )


def _environment(settings: LatencySettings) -> Environment:
    described = {**describe_environment(settings.device), "threads": settings.threads}
    return Environment.model_validate(described)


def _spec(block: str | BlockSpec) -> BlockSpec:
    return get_block(block) if isinstance(block, str) else block
