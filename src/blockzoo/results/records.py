"""What a trial leaves: typed, immutable, versioned records.

A record is either "ok" and complete or "failed" with its reason. `trial_id` is a hash of all that
determines the result; two records with one id stand for the same measurement. MACs are exact
integers; FLOPs are 2 x MACs. Times are in milliseconds or seconds as the names say, memory in
bytes, accuracies as fractions of 1. What a field can hold, its type says (`results/ranges.py`); a
loss alone may be infinite or undefined, as where a training diverged between two epochs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from blockzoo.core.display import Facts, megabytes, number, percent, ranged
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.results.environment import Environment as Environment
from blockzoo.results.environment import ScaffoldSettings as ScaffoldSettings
from blockzoo.results.frozen import Frozen
from blockzoo.results.measures import EpochMetrics as EpochMetrics
from blockzoo.results.measures import FormCost as FormCost
from blockzoo.results.measures import MemoryUse as MemoryUse
from blockzoo.results.measures import PartCost as PartCost
from blockzoo.results.measures import RobustnessMetrics as RobustnessMetrics
from blockzoo.results.ranges import (
    Amount,
    Count,
    CountByName,
    Finite,
    Fraction,
    Identity,
    Lines,
    Name,
    Positions,
    Positive,
    RecipeValues,
    Seed,
    SomePositions,
    Time,
)

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEMA_VERSION = 2
"""1: identities that left out code of other files, start values and more; else the same fields."""


def identity_of(schema_version: int | None) -> str:
    """Return the kind of identity that results of that schema version have; None: before any.

    Results of two kinds are never put together: what they call the same block is not the same.

    >>> identity_of(None), identity_of(1), identity_of(SCHEMA_VERSION)
    ('1', '1', '2')
    """
    return "1" if schema_version is None or schema_version < 2 else "2"


class Record(Frozen):
    """What all records share; it is either complete or says why it failed.

    Fields are read by name. `model_dump()` gives all of them, `model_copy` changes some in a copy.

    Attributes:
        schema_version: Of the fields and of what the identity covers.
        trial_id: A hash of all that determines the result.
        status: "ok", or "failed".
        reason: Why it failed.
        traceback: Of the failure.
        created_at: When the trial ended, in UTC.
        block: The block under test.
        block_fingerprint: A hash of its structure and code; "" in older records.
        unsure: What of the block the fingerprint does not cover: it may have changed since.
        positions: All at which the network is this one.
        asked: At which of them somebody wanted it, first things first; tables have rows of these
            alone. Empty in older records.
        scaffold: What is around the block.
        environment: What it was made with.
        experiment_name: The user's.
        notes: The user's, and what was not as asked for.
    """

    whole: ClassVar[bool] = True
    """Whether all of it is there; only such a record can be put into a store."""

    schema_version: Positive = SCHEMA_VERSION
    trial_id: Identity
    status: Literal["ok", "failed"] = "ok"
    reason: Lines | None = None
    traceback: Lines | None = None
    created_at: Time = Field(default_factory=lambda: datetime.now(timezone.utc))
    block: Name
    block_fingerprint: str = ""
    unsure: tuple[str, ...] = ()
    positions: Positions
    asked: SomePositions = ()
    scaffold: ScaffoldSettings
    environment: Environment
    experiment_name: str = ""
    notes: str = ""

    @model_validator(mode="after")
    def _asked_where_it_is(self) -> Self:
        if not {*self.asked} <= {*self.positions}:
            raise ValueError("asked holds a position at which the network is not this one")
        return self

    @property
    def identity(self) -> str:
        """The kind of identity that `trial_id` and `block_fingerprint` are, see `identity_of`."""
        return identity_of(self.schema_version)

    @property
    def shown(self) -> tuple[Position, ...]:
        """The positions at which this result is shown, those asked for; all where none are kept."""
        return self.asked or self.positions

    def asked_at(self, positions: Iterable[Position]) -> Self:
        """Return the record of a network that was asked for at these positions too.

        Positions at which the network is not this one do not count. What a cost says of its stage
        is of the first, which stays the first.

        Args:
            positions: Where it was asked for.
        """
        wanted = dict.fromkeys((*self.shown, *positions))
        asked = tuple(position for position in wanted if position in self.positions)
        return self if asked == self.shown else self.model_copy(update={"asked": asked})

    def _facts(self) -> Facts:
        if self.status == "failed":
            return {**self._subject(), "failed": self.reason or "no reason was kept"}
        return {**self._subject(), **self._found()}

    def _subject(self) -> Facts:
        """Return what the result is of."""
        return {"block": self.block, "position": "/".join(map(str, self.shown))}

    def _found(self) -> Facts:
        """Return the most important of what was found."""
        return {}


class CostRecord(Record):
    """Parameters, MACs and memory of a scaffolded block, for one image.

    The stage under test alone is the scaffold minus the same scaffold with an identity stage.

    Attributes:
        kind: "cost".
        train: The whole scaffold in training form.
        deploy: The whole scaffold in deploy form.
        stage_train: The stage under test alone in training form, at the position first asked for;
            `stage_at` has those of the others.
        stage_deploy: The same in deploy form.
        parts: Stem, stages and head.
        memory_inference: Counted, of the deploy form at batch 1.
        memory_training: Counted, of one training step.
        uncounted: Operations that no counter saw.
        uncounted_macs: MACs of those of them in the deploy form that have a documented formula;
            they are in no other count.
        measured_inference_bytes: What a process really took for `memory_inference`.
        measured_training_bytes: What a process really took for `memory_training`.
        measured_memory_device: Where that was measured.
        training_macs: Forward and backward pass of a training step, for each of its images.
        stage_training_macs: The same of the stage alone.
    """

    kind: Literal["cost"] = "cost"
    train: FormCost | None = None
    deploy: FormCost | None = None
    stage_train: FormCost | None = None
    stage_deploy: FormCost | None = None
    parts: tuple[PartCost, ...] = ()
    memory_inference: MemoryUse | None = None
    memory_training: MemoryUse | None = None
    uncounted: tuple[str, ...] = ()
    uncounted_macs: CountByName = Field(default_factory=dict)
    measured_inference_bytes: Count | None = None
    measured_training_bytes: Count | None = None
    measured_memory_device: str | None = None
    training_macs: int | None = None
    stage_training_macs: int | None = None

    def stage_at(self, position: Position) -> PartCost | None:
        """Return the cost of the stage under test at that position; None where it is not known.

        Args:
            position: One at which the network is this one.
        """
        name = f"stage_{position}"
        # The network is the same, so what stands there is the block, whoever put it there.
        found = next((part for part in self.parts if part.name == name), None)
        if found is not None and position in self.positions:
            return found
        if position != self.shown[0] or self.stage_train is None or self.stage_deploy is None:
            return None
        return PartCost(
            name=name,
            train=self.stage_train,
            deploy=self.stage_deploy,
            training_macs=self.stage_training_macs,
        )

    def _found(self) -> Facts:
        # Of the deploy form, as the early version's columns have it; of both forms tables tell.
        whole, stage = self.deploy, self.stage_deploy
        inference, training = self.memory_inference, self.memory_training
        return {
            "parameters": number(whole.params_total) if whole else None,
            "MACs": number(whole.macs) if whole else None,
            "stage parameters": number(stage.params_total) if stage else None,
            "stage MACs": number(stage.macs) if stage else None,
            "peak of inference": megabytes(inference.peak_bytes) if inference else None,
            "peak of training": megabytes(training.peak_bytes) if training else None,
        }


class LatencyRecord(Record):
    """Latency of a scaffolded block in deploy form: every sample and what follows from them.

    Times are milliseconds per call and intervals 95%. `way` has the fields from `device` to `form`
    as one `RunWay`.

    Attributes:
        kind: "latency".
        device: "cpu" or "cuda:N".
        backend: What executed the network.
        precision: Of weights, input and arithmetic.
        channels_last: Whether tensors of torch had that memory layout.
        threads: Threads within one operation, on the CPU.
        cache: What each call found in the caches, its own data ("hot") or none ("cold").
        batch_size: Images per call.
        form: The deploy form with its batch norms folded into the layers before them ("folded"), or
            as it is ("deploy", as in records that lack it).
        session: The run in which it was timed, whose rounds it shares with its baseline; "" in
            older records.
        samples_ms: Every sample, one process after the other.
        process_counts: How many samples are of each process.
        rounds: In which round of its process each sample arose.
        calls_per_sample: Of how many calls the samples of each process are means; empty in older
            records.
        dropped_samples: Discarded because a clock did not advance, or the GPU's was low.
        overhead_fraction: Share of the session that was spent outside forward passes.
        median_ms: The mean of the processes' medians.
        interval_ms: Its interval, lower and upper end.
        iqr_ms: Interquartile range of the samples.
        std_ms: Sample standard deviation.
        p90_ms: 90th percentile; None with fewer than 44 samples.
        p99_ms: 99th percentile; None with fewer than 459 samples.
        throughput_images_per_s: Batch size over median.
        baseline: The block that it is compared with.
        ratio: Latency over that of the baseline, from samples paired by round.
        ratio_interval: Its interval.
        verdict: "faster", "slower", "same", "undecided", or "baseline" of that itself.
        verdict_reason: Why a verdict is "undecided".
        flags: What is wrong with the samples, see `LatencyResult`.
        parity_error: Largest difference of the deploy form from the training form, as a share of
            the largest output.
        params_folded: Parameters of the folded form, where it was timed.
        energy_j_per_image: Joules beyond idle, the mean of `energy_repetitions_j`.
        energy_counter: What the energy is of.
        energy_interval_j: Its interval; where it holds 0 the energy is not told from idle.
        energy_repetitions_j: The single measurements.
        exported_bytes: Of the files that the backend exported, if it exports any.
        process_memory_bytes: What a process holds for the exported network and, at its peak, for
            running it, where that was asked for.
    """

    kind: Literal["latency"] = "latency"
    # The fields of `RunWay`, flat: stores and CSV files from before there was one are read alike.
    device: Name = "cpu"
    backend: Name = "eager"
    precision: Name = "fp32"
    channels_last: bool = False
    threads: Positive = 1
    cache: Name = "hot"
    batch_size: Positive = 1
    form: Name = "deploy"
    session: str = ""
    samples_ms: tuple[Amount, ...] = ()
    process_counts: tuple[Count, ...] = ()
    rounds: tuple[Count, ...] = ()
    calls_per_sample: tuple[Positive, ...] = ()
    dropped_samples: Count = 0
    overhead_fraction: Finite | None = None
    median_ms: Amount | None = None
    interval_ms: tuple[Finite, Finite] | None = None
    iqr_ms: Amount | None = None
    std_ms: Amount | None = None
    p90_ms: Amount | None = None
    p99_ms: Amount | None = None
    throughput_images_per_s: Amount | None = None
    baseline: Name | None = None
    ratio: Amount | None = None
    ratio_interval: tuple[Finite, Finite] | None = None
    verdict: Literal["faster", "slower", "same", "undecided", "baseline"] | None = None
    verdict_reason: str = ""
    flags: tuple[str, ...] = ()
    parity_error: float | None = None
    params_folded: Count | None = None
    energy_j_per_image: Finite | None = None
    energy_counter: str | None = None
    energy_interval_j: tuple[float, float] | None = None
    energy_repetitions_j: tuple[float, ...] = ()
    exported_bytes: Count | None = None
    process_memory_bytes: Count | None = None

    @property
    def way(self) -> RunWay:
        """How the network was run."""
        return RunWay.of(self)

    def _found(self) -> Facts:
        ratio = None if self.verdict == "baseline" else ranged(self.ratio, self.ratio_interval)
        return {
            "median": ranged(self.median_ms, self.interval_ms, " ms"),
            "ratio": ratio and f"{ratio} x {self.baseline}",
            "verdict": self.verdict,
            "run": self.way.label(),
            "flags": ", ".join(self.flags),
        }


class TrainingRecord(Record):
    """What one seed of one network learned. Chosen on validation; test read once, at the end.

    Accuracies are fractions of 1, losses mean cross-entropies in nats.

    Attributes:
        kind: "training".
        protocol: The label of the protocol.
        dataset: Its name.
        dataset_fingerprint: A hash of all images and labels; "" in older records.
        recipe: Every value of the recipe, by name.
        seed: Of weights, order and augmentation.
        device: "cpu" or "cuda:N".
        precision: Of arithmetic.
        channels_last: Whether tensors had that memory layout.
        best_epoch: The one whose weights were tested, from 1.
        val_loss: On validation, of that epoch.
        val_accuracy: On validation, of that epoch.
        test_loss: On the test set.
        test_accuracy: On the test set.
        training_seconds: Of all epochs, with their validation.
        images_per_s: Of training alone.
        test_top5_accuracy: None with five classes or less.
        test_calibration_error: Expected, 15 bins (Guo et al. 2017).
        test_class_accuracy: By class.
        peak_memory_bytes: Of the process on a CPU, as sampled in and after epochs; of the allocator
            on CUDA.
        micro_batch_size: The parts that batches were computed in where they did not fit into
            memory; the statistics of batch normalisation are then of the parts.
        weights_path: Where the final weights are, if kept.
        epochs: The curve.
        robustness: Accuracy on changed test images, where that was asked for.
        compiled: Whether training steps ran compiled; if that was asked for in vain, notes say why.
        test_images: How many there are.
        test_correct: Which of them were answered rightly, a bit each; `answers_of` reads them.
        test_logits_sha256: Hash of all logits of the test set in its order, as float32.
    """

    kind: Literal["training"] = "training"
    protocol: Name
    dataset: Name
    dataset_fingerprint: str = ""
    recipe: RecipeValues = Field(default_factory=dict)
    seed: Seed
    device: Name = "cpu"
    precision: Name = "fp32"
    channels_last: bool = False
    best_epoch: Count | None = None
    val_loss: float | None = None
    val_accuracy: Fraction | None = None
    test_loss: float | None = None
    test_accuracy: Fraction | None = None
    training_seconds: Amount | None = None
    images_per_s: Amount | None = None
    test_top5_accuracy: Fraction | None = None
    test_calibration_error: Amount | None = None
    test_class_accuracy: tuple[Fraction | None, ...] = ()
    peak_memory_bytes: Count | None = None
    micro_batch_size: Positive | None = None
    weights_path: str | None = None
    epochs: tuple[EpochMetrics, ...] = ()
    robustness: RobustnessMetrics | None = None
    compiled: bool = False
    test_images: int | None = None
    test_correct: str | None = None
    test_logits_sha256: str | None = None

    def _subject(self) -> Facts:
        of_training = {"dataset": self.dataset, "protocol": self.protocol, "seed": str(self.seed)}
        return {**super()._subject(), **of_training}

    def _found(self) -> Facts:
        return {
            "val accuracy": percent(self.val_accuracy),
            "test accuracy": percent(self.test_accuracy),
            "trained": number(self.training_seconds, " s"),
        }


AnyRecord = Annotated[CostRecord | LatencyRecord | TrainingRecord, Field(discriminator="kind")]


def trial_id(kind: str, **determinants: object) -> str:
    """Return the identity of a trial: 32 hexadecimal digits hashed from all that determines it.

    >>> trial_id("cost", block="A", depth=3) == trial_id("cost", depth=3, block="A")
    True
    """
    # Sorted, so that the order in which determinants are named is no part of the identity.
    text = json.dumps({"kind": kind, **determinants}, sort_keys=True, default=str)
    # 128 bits: no two trials will share an id by chance.
    return hashlib.sha256(text.encode()).hexdigest()[:32]
