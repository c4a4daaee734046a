"""The verb `profile`: what a block costs in the scaffold, in parameters, MACs and memory.

Nothing is computed and no weight is drawn: networks are built and run without data. The counts of
a network are the sums over its parts, so the parts that networks share are counted once, and a
network that is the same at several positions is profiled once.
"""

from __future__ import annotations

import gc
import multiprocessing
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from torch import nn

from blockzoo.blocks import BlockSpec, get_block, to_deploy
from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import InputError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.experiments.identity import (
    DEFAULT_TRAINING_BATCH_SIZE,
    cost_trial_id,
    scaffold_settings,
)
from blockzoo.experiments.part_costs import Part, measured_context, measured_parts, summed
from blockzoo.measure.costs.memory import MemoryPeak, inference_memory, training_memory
from blockzoo.measure.costs.process_memory import (
    measured_inference_memory,
    measured_training_memory,
)
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.records import CostRecord, Environment, MemoryUse
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement

Progress = Callable[[int, int, str], None]
_BLOCKS_PER_PROCESS = 4


def profile_block(
    block: str | BlockSpec,
    position: Position | str,
    *,
    config: ScaffoldConfig | None = None,
    training_batch_size: int = DEFAULT_TRAINING_BATCH_SIZE,
    memory: bool = True,
) -> CostRecord:
    """Return the cost of the scaffold with this block at this position.

    Counts are for one image, in eval mode. The memory of inference is of the deploy form at batch
    1, that of training of one step of the training form by SGD with momentum; `memory=False` leaves
    both out. Where the network is the same at several positions, `stage_train` and `stage_deploy`
    are of the first of the record's `positions`; `parts` has the stages of the others. Raises
    `InputError` for a batch size below 1 and what `ScaffoldNet` raises.
    """
    return profile_blocks(
        [block],
        [position],
        config=config,
        training_batch_size=training_batch_size,
        memory=memory,
    )[0]


def profile_blocks(
    blocks: Iterable[str | BlockSpec],
    positions: Iterable[Position | str] = POSITIONS,
    *,
    config: ScaffoldConfig | None = None,
    training_batch_size: int = DEFAULT_TRAINING_BATCH_SIZE,
    memory: bool = True,
    measure_memory: bool = False,
    memory_device: str = "cpu",
    on_error: Literal["raise", "record"] = "raise",
    progress: Progress | None = None,
    processes: int = 1,
) -> list[CostRecord]:
    """Return the costs of all blocks at all positions, one record for each network there is.

    With `on_error="record"` a block that fails leaves a failed record with its reason, and the
    others go on; names, positions and batch sizes that are not allowed are always raised. With
    `measure_memory` the same inference and training step are also computed on `memory_device`, each
    in a fresh process, and what that process took at its peak, or CUDA's allocator in it, is
    recorded beside the counted one; raises `DeviceError` where there is no such device. `progress`
    is called after each block with (done, total, block). Many blocks may be spread over
    `processes`, where the system can fork; the records are the same.
    """
    if training_batch_size < 1:
        raise InputError(f"training batch size is {training_batch_size}; it must be 1 or more")
    settings = _Settings(
        config=config or ScaffoldConfig(),
        training_batch_size=training_batch_size,
        memory=memory,
        measured_on=str(resolve_device(memory_device)) if measure_memory else None,
        on_error=on_error,
    )
    specs = [get_block(block) if isinstance(block, str) else block for block in blocks]
    places = [Position.parse(str(position)) for position in positions]
    get_block(settings.config.context)
    report = progress or (lambda done, total, text: None)
    records: list[CostRecord] = []
    with _rare_garbage_collection():
        batches = _records(specs, places, settings, processes)
        for done, (spec, batch) in enumerate(batches, start=1):
            records += batch
            report(done, len(specs), spec.name)
    return records


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Look for cycles seldom: building networks sets the search off often, to free little."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    config: ScaffoldConfig
    training_batch_size: int
    memory: bool
    measured_on: str | None
    on_error: Literal["raise", "record"]


_Job = tuple[BlockSpec, Sequence[Position], _Settings]


def _records(
    specs: Sequence[BlockSpec],
    positions: Sequence[Position],
    settings: _Settings,
    processes: int,
) -> Iterator[tuple[BlockSpec, list[CostRecord]]]:
    """Yield each block with its records, from forked processes where that pays and is possible."""
    jobs = [(spec, positions, settings) for spec in specs]
    processes = min(processes, len(jobs) // _BLOCKS_PER_PROCESS)
    if processes < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from ((job[0], _of_one_block(job)) for job in jobs)
        return
    measured_context(settings.config)  # once, before there are several of this process
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; the children compute nothing with torch's.
        warnings.simplefilter("ignore", DeprecationWarning)
        # A forked child finds the jobs here: blocks hold functions, which cannot be sent.
        pool = multiprocessing.get_context("fork").Pool(processes, _inherit, (jobs,))
    with pool:
        yield from zip(specs, pool.imap(_inherited_job, range(len(jobs))), strict=True)


_inherited: list[_Job] = []


def _inherit(jobs: list[_Job]) -> None:
    _inherited[:] = jobs


def _inherited_job(index: int) -> list[CostRecord]:
    return _of_one_block(_inherited[index])


def _of_one_block(job: _Job) -> list[CostRecord]:
    spec, positions, settings = job
    records: list[CostRecord] = []
    for position in positions:
        if not any(position in record.positions for record in records):
            records.append(_record_or_failure(spec, position, settings))
    return records


def _record_or_failure(spec: BlockSpec, position: Position, settings: _Settings) -> CostRecord:
    record = _blank_record(spec, position, settings)
    try:
        return record.model_copy(update=_costs(spec, record.positions[0], settings))
    except Exception as error:
        if settings.on_error == "raise":
            raise
        failure = {
            "status": "failed",
            "reason": describe_error(error),
            "traceback": traceback.format_exc(),
        }
        return record.model_copy(update=failure)


def _blank_record(spec: BlockSpec, position: Position, settings: _Settings) -> CostRecord:
    """Return the record with all that is known before anything is measured."""
    placement = Placement(spec, position, settings.config)
    identity = cost_trial_id(
        placement,
        training_batch_size=settings.training_batch_size,
        memory=settings.memory,
    )
    return CostRecord(
        trial_id=identity,
        block=spec.name,
        block_fingerprint=placement.recorded_fingerprint,
        positions=placement.positions,
        scaffold=scaffold_settings(settings.config),
        environment=Environment.model_validate(describe_environment()),
    )


def _costs(spec: BlockSpec, position: Position, settings: _Settings) -> dict[str, object]:
    """Return the fields of a record that are measured."""
    parts = measured_parts(spec, position, settings.config)
    stage = parts[f"stage_{position}"]
    costs = {
        "train": summed(part.cost.train for part in parts.values()),
        "deploy": summed(part.cost.deploy for part in parts.values()),
        "stage_train": stage.cost.train,
        "stage_deploy": stage.cost.deploy,
        "parts": tuple(part.cost for part in parts.values()),
        "uncounted": tuple(sorted({name for part in parts.values() for name in part.uncounted})),
        "uncounted_macs": dict(sum((Counter(p.uncounted_macs) for p in parts.values()), Counter())),
    }
    return {
        **costs,
        **(_memory(parts, settings) if settings.memory else {}),
        **_measured_memory(spec, position, settings),
    }


def _memory(parts: dict[str, Part], settings: _Settings) -> dict[str, MemoryUse]:
    shape = settings.config.input_shape
    train = nn.Sequential(*(part.train for part in parts.values()))
    deploy = nn.Sequential(*(part.deploy for part in parts.values()))
    return {
        "memory_inference": _memory_use(inference_memory(deploy, shape)),
        "memory_training": _memory_use(training_memory(train, shape, settings.training_batch_size)),
    }


def _measured_memory(spec: BlockSpec, position: Position, settings: _Settings) -> dict[str, object]:
    device = settings.measured_on
    if device is None:
        return {}
    net = ScaffoldNet(spec, position, settings.config)
    shape = settings.config.input_shape
    return {
        "measured_memory_device": device,
        "measured_inference_bytes": measured_inference_memory(to_deploy(net), shape, device=device),
        "measured_training_bytes": measured_training_memory(
            net, shape, settings.training_batch_size, device=device
        ),
    }


def _memory_use(peak: MemoryPeak) -> MemoryUse:
    return MemoryUse(**asdict(peak))
