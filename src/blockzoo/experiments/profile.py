"""The verb `profile`: what a block costs in the scaffold, in parameters, MACs and memory.

Nothing is computed and no weight is drawn: networks are built and run without data. The counts of
a network are the sums over its parts, so the parts that networks share are counted once, and a
network that is the same at several positions is profiled once.
"""

from __future__ import annotations

import gc
import multiprocessing
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Literal

from torch import nn

from blockzoo.blocks import BlockLike, get_block, to_deploy
from blockzoo.core.errors import BlockZooError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.processes import Answer, Ended, Raised, Send, Worker
from blockzoo.core.ranges import BATCH
from blockzoo.experiments.part_costs import Part, measured_context, measured_parts, summed
from blockzoo.experiments.recording import common_fields, failure_fields, recorded_environment
from blockzoo.experiments.trial_identity import DEFAULT_TRAINING_BATCH_SIZE, cost_trial_id
from blockzoo.measure.costs.memory import (
    SGD_STEP,
    MemoryPeak,
    TrainingStep,
    inference_memory,
    training_memory,
)
from blockzoo.measure.costs.process_memory import (
    measured_inference_memory,
    measured_training_memory,
)
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.results.records import CostRecord, MemoryUse
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

Progress = Callable[[int, int, str], None]
# Below this a process takes longer to start than it saves.
_BLOCKS_PER_PROCESS = 4


@dataclass(frozen=True, kw_only=True)
class CostSettings:
    """What of a cost is found out, beside parameters and MACs.

    Args:
        training_batch_size: Images of the training step whose memory is counted.
        memory: Whether the peaks of inference and of a training step are counted.
        training_step: What such a step holds: by default SGD with momentum, else what a recipe
            does.
        measured_on: The device on which both are also computed, each in a fresh process. What that
            process took, or CUDA's allocator in it, is recorded beside the counted peak.

    Raises:
        InputError: For a batch size below 1.

    Example:
        >>> CostSettings(training_batch_size=128).memory
        True
    """

    training_batch_size: int = DEFAULT_TRAINING_BATCH_SIZE
    memory: bool = True
    training_step: TrainingStep = SGD_STEP
    measured_on: str | None = None

    def __post_init__(self) -> None:
        BATCH.checked("training batch size", self.training_batch_size)


def profile_block(
    block: BlockLike,
    position: Position | str,
    *,
    config: ScaffoldConfig | None = None,
    training_batch_size: int = DEFAULT_TRAINING_BATCH_SIZE,
    memory: bool = True,
) -> CostRecord:
    """Return the cost of the scaffold with this block at this position.

    Counts are for one image, in eval mode. The memory of inference is of the deploy form at batch
    1, that of training of one step of the training form by SGD with momentum.

    Args:
        block: A name, path, class or spec, see `get_block`.
        position: Which stage holds it: "early", "mid" or "late".
        config: The scaffold around it; by default `ScaffoldConfig()`.
        training_batch_size: Images of the training step whose memory is counted.
        memory: Whether memory is counted at all.

    Returns:
        The record. `stage_train` and `stage_deploy` are of the stage at this position, also where
        the network is the same at several.

    Raises:
        InputError: For a batch size below 1.
        UnknownNameError: For a block or position that is not known.
        BlockError: When the block cannot be built or returns a wrong shape.

    Example:
        >>> record = profile_block("ConvBNAct", "mid", config=ScaffoldConfig(depth=1), memory=False)
        >>> record.stage_deploy.macs == 128 * 64 * 9 * 16**2
        True
    """
    settings = CostSettings(training_batch_size=training_batch_size, memory=memory)
    return profile_blocks([block], [position], config=config, settings=settings)[0]


def profile_blocks(
    blocks: Iterable[BlockLike],
    positions: Iterable[Position | str] = POSITIONS,
    *,
    config: ScaffoldConfig | None = None,
    settings: CostSettings | None = None,
    on_error: Literal["raise", "record"] = "raise",
    progress: Progress | None = None,
    processes: int = 1,
) -> list[CostRecord]:
    """Return the costs of all blocks at all positions, one record for each network there is.

    Args:
        blocks: Names, paths, classes or specs, see `get_block`.
        positions: Which stages hold them.
        config: The scaffold around them; by default `ScaffoldConfig()`.
        settings: What is found out beside parameters and MACs.
        on_error: With "record" a block that fails leaves a failed record with its reason, and the
            others go on; with "raise" its error comes through.
        progress: Called after each block as `progress(done, total, block)`.
        processes: Over how many processes many blocks are spread, where the system can fork; the
            records are the same.

    Returns:
        The records, block by block.

    Raises:
        UnknownNameError: For a block or position that is not known.
        DeviceError: For a device to measure memory on that is not there.
        BlockError: When a block fails and `on_error` is "raise".

    Example:
        >>> small = ScaffoldConfig(width=8, depth=1)
        >>> records = profile_blocks(["Identity", "ConvBNAct"], ["mid"], config=small)
        >>> [record.stage_deploy.params_total for record in records]
        [0, 1184]
    """
    settings = settings or CostSettings()
    if settings.measured_on is not None:
        settings = replace(settings, measured_on=str(resolve_device(settings.measured_on)))
    places = [Position.parse(str(position)) for position in positions]
    jobs = [
        _Job(
            placements=tuple(first.at(position) for position in places),
            settings=settings,
            raises=on_error == "raise",
        )
        for first in (Placement.of(block, POSITIONS[0], config) for block in blocks)
    ]
    report = progress or (lambda done, total, text: None)
    records: list[CostRecord] = []
    with _rare_garbage_collection():
        batches = zip(jobs, _run(jobs, config or ScaffoldConfig(), processes), strict=True)
        for done, (job, batch) in enumerate(batches, start=1):
            records += batch
            report(done, len(jobs), job.placements[0].spec.name)
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
class _Job:
    """One block at its positions."""

    placements: tuple[Placement, ...]
    settings: CostSettings
    raises: bool

    @property
    def is_apart(self) -> bool:
        """Whether it is built in a process of a user's block alone."""
        return self.placements[0].elsewhere is not None

    def run(self) -> list[CostRecord]:
        """Return one record for each network that the block makes at its positions."""
        records: list[CostRecord] = []
        for placement in self.placements:
            # A record stands for all positions at which the network is the same.
            same = next((r for r in records if placement.position in r.positions), None)
            if same is None:
                records.append(_recorded(placement, self.settings, raises=self.raises))
            else:
                records[records.index(same)] = same.asked_at([placement.position])
        return records


def _run(
    jobs: Sequence[_Job], scaffold: ScaffoldConfig, processes: int
) -> Iterator[list[CostRecord]]:
    """Yield the records of each job in order, from forked processes where that pays and can be."""
    # A fork has what is imported here; a spawned process would import torch for each few blocks.
    processes = min(processes, len(jobs) // _BLOCKS_PER_PROCESS)
    if processes < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from (job.run() for job in jobs)
        return
    if get_block(scaffold.context).elsewhere is None:
        measured_context(scaffold)  # once, before there are several of this process
    _inherited[:] = jobs  # a forked child finds them here: blocks hold functions
    idle: SimpleQueue[Worker] = SimpleQueue()
    with ExitStack() as stack, warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; the children compute nothing with torch's.
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(processes):
            idle.put(stack.enter_context(Worker("fork")))
        pool = stack.enter_context(ThreadPoolExecutor(processes))
        yield from pool.map(partial(_forked, idle), range(len(jobs)))


_inherited: list[_Job] = []


def _inherited_job(index: int) -> list[CostRecord]:
    return _inherited[index].run()


def _forked(idle: SimpleQueue[Worker], index: int) -> list[CostRecord]:
    """Run the job of that index in an idle process; in its own where its block has one."""
    job = _inherited[index]
    if job.is_apart:
        return job.run()
    worker = idle.get()
    try:
        outcome = worker.ask(_inherited_job, index)
    finally:
        idle.put(worker if worker.alive else Worker("fork"))
    match outcome:
        case Answer(value=records):
            return records
        case Raised(error=error):
            raise error
        case Ended(reason=reason):
            raise BlockZooError(f"the process that counted {reason}")


def _recorded(placement: Placement, settings: CostSettings, *, raises: bool) -> CostRecord:
    """Return the record of a placement; failed, with its reason, unless `raises`."""
    elsewhere = placement.elsewhere
    try:
        if elsewhere is not None:
            task = (placement.spec.name, placement.position, placement.scaffold)
            return elsewhere(_recorded_there, (*task, settings, raises), kind="cost")
        record = _blank_record(placement, settings)
        costs = _costs(placement, settings)
        return record.model_copy(update=costs)
    except Exception as error:
        if raises:
            raise
        failure = dict(failure_fields(error))
        return _blank_record(placement, settings).model_copy(update=failure)


def _recorded_there(
    task: tuple[str, Position, ScaffoldConfig, CostSettings, bool], _: Send
) -> CostRecord:
    block, position, scaffold, settings, raises = task
    return _recorded(Placement.of(block, position, scaffold), settings, raises=raises)


def _blank_record(placement: Placement, settings: CostSettings) -> CostRecord:
    """Return the record with all that is known before anything is measured."""
    identity = cost_trial_id(
        placement,
        training_batch_size=settings.training_batch_size,
        memory=settings.memory,
        training_step=settings.training_step,
    )
    return CostRecord(trial_id=identity, **common_fields(placement, recorded_environment()))


def _costs(placement: Placement, settings: CostSettings) -> dict[str, object]:
    """Return the fields of a record that are measured."""
    parts = measured_parts(placement)
    stage = parts[placement.stage_name]
    costs = {
        "train": summed(part.cost.train for part in parts.values()),
        "deploy": summed(part.cost.deploy for part in parts.values()),
        "stage_train": stage.cost.train,
        "stage_deploy": stage.cost.deploy,
        "training_macs": sum(part.cost.training_macs or 0 for part in parts.values()),
        "stage_training_macs": stage.cost.training_macs,
        "parts": tuple(part.cost for part in parts.values()),
        "uncounted": tuple(sorted({name for part in parts.values() for name in part.uncounted})),
        "uncounted_macs": dict(sum((Counter(p.uncounted_macs) for p in parts.values()), Counter())),
    }
    return {
        **costs,
        **(_memory(parts, placement, settings) if settings.memory else {}),
        **_measured_memory(placement, settings),
    }


def _memory(
    parts: dict[str, Part], placement: Placement, settings: CostSettings
) -> dict[str, MemoryUse]:
    shape = placement.scaffold.input_shape
    # The parts in a row are the network, which need not be built once more.
    train = nn.Sequential(*(part.train for part in parts.values()))
    deploy = nn.Sequential(*(part.deploy for part in parts.values()))
    return {
        "memory_inference": _memory_use(inference_memory(deploy, shape)),
        "memory_training": _memory_use(
            training_memory(train, shape, settings.training_batch_size, settings.training_step),
            optimizer=settings.training_step.label,
        ),
    }


def _measured_memory(placement: Placement, settings: CostSettings) -> dict[str, object]:
    device = settings.measured_on
    if device is None:
        return {}
    # With weights: a process takes what it takes only with real tensors.
    net, shape = placement.build(), placement.scaffold.input_shape
    return {
        "measured_memory_device": device,
        "measured_inference_bytes": measured_inference_memory(to_deploy(net), shape, device=device),
        "measured_training_bytes": measured_training_memory(
            net, shape, settings.training_batch_size, device, settings.training_step
        ),
    }


def _memory_use(peak: MemoryPeak, optimizer: str | None = None) -> MemoryUse:
    return MemoryUse(**asdict(peak), optimizer=optimizer)
