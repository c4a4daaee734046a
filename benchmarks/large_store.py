"""Write a store of many records, as large sweeps leave them.

    python benchmarks/large_store.py FOLDER [--records 10000]

One record in twenty is a latency of 300 samples, one in 300 a cost, all others are trainings of 50
epochs with the answers to 10,000 test images: every block of the zoo at every position, seed by
seed, of one machine and one scaffold. All numbers are drawn at random. The trials of the compared
blocks have the ids that `blockzoo compare` gives them here, so that it finds nothing to run.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from itertools import chain, count, islice, product
from pathlib import Path
from typing import Any

import numpy as np

from blockzoo.blocks import list_available_blocks
from blockzoo.core.position import POSITIONS, Position
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.recording import common_fields, recorded_environment
from blockzoo.experiments.sweep.plan import SweepRequest, Trial, make_plan
from blockzoo.results.answers import packed
from blockzoo.results.records import (
    CostRecord,
    EpochMetrics,
    FormCost,
    LatencyRecord,
    MemoryUse,
    PartCost,
    Record,
    TrainingRecord,
)
from blockzoo.results.store.database import Store

COMPARED = ("MobileOneBlock", "RepVGGBlock")
COMPARED_SEEDS = 10
PROTOCOL = "quick"
PLACE = Position.MID
EPOCHS, CURVES, SAMPLES, TEST_IMAGES = 50, 100, 300, 10_000
LATENCY_SHARE, COST_SHARE = 20, 300
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
_PART = 500


class Maker:
    """Makes records of one machine and scaffold, one second after another."""

    def __init__(self, request: SweepRequest) -> None:
        self.request = request
        self.generator = np.random.default_rng(0)
        self._environment = recorded_environment("cpu")
        self._seconds = count()
        self._ids = {
            (trial.kind, block, trial.seed): identity
            for trial in compared_trials(request)
            for block, identity in zip(trial.blocks, trial.trial_ids, strict=True)
        }
        # A few, for they take longer to make than all else.
        self._curves = [
            tuple(self._epoch(number) for number in range(1, EPOCHS + 1)) for _ in range(CURVES)
        ]
        self._alike = common_fields(request.placement(COMPARED[0], PLACE), self._environment)

    def common(
        self, kind: str, block: str, position: Position, number: int, seed: int | None = None
    ) -> dict[str, Any]:
        """Return the fields that all records have; of the compared blocks as a sweep has them."""
        key, at = (kind, block, seed), (position,)
        fields: dict[str, Any] = {**self._alike, "positions": at, "asked": at, "block": block}
        identity = hashlib.sha256(f"{key} {position} {number}".encode()).hexdigest()[:32]
        # Planning every network of the zoo is no part of what is measured.
        fields["block_fingerprint"] = hashlib.sha256(f"{block} {position}".encode()).hexdigest()
        if position is PLACE and number == 0 and key in self._ids:
            placement = self.request.placement(block, position)
            fields |= common_fields(placement, self._environment)
            identity = self._ids[key]
        moment = START + timedelta(seconds=next(self._seconds))
        return {**fields, "trial_id": identity, "created_at": moment}

    def training(self, block: str, position: Position, seed: int) -> TrainingRecord:
        """Return a training with its curve and its answers to test images."""
        draw = self.generator
        answers = draw.random(TEST_IMAGES) < 0.6 + 0.01 * draw.random()
        protocol = self.request.protocol
        return TrainingRecord(
            **self.common("training", block, position, 0, seed),
            protocol=protocol.label,
            dataset=protocol.dataset,
            dataset_fingerprint=self.request.dataset.fingerprint,
            recipe=asdict(protocol.recipe),
            seed=seed,
            best_epoch=EPOCHS,
            val_loss=draw.random(),
            val_accuracy=draw.random(),
            test_loss=draw.random(),
            test_accuracy=answers.mean(),
            test_class_accuracy=tuple(draw.random(100)),
            training_seconds=100 * draw.random(),
            images_per_s=1000 * draw.random(),
            epochs=self._curves[seed % len(self._curves)],
            test_images=TEST_IMAGES,
            test_correct=packed(answers),
            test_logits_sha256=draw.bytes(32).hex(),
        )

    def _epoch(self, number: int) -> EpochMetrics:
        drawn = self.generator.random(12).tolist()
        rate, loss, accuracy, val_loss, val_accuracy, top5, val_top5, *norms = drawn
        return EpochMetrics(
            epoch=number,
            learning_rate=rate,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=2.0 + rate,
            train_top5_accuracy=top5,
            val_top5_accuracy=val_top5,
            images_per_s=1000 * loss,
            elapsed_seconds=number * 2.5,
            gradient_norms=dict(
                zip(("stem", "stage_early", "stage_mid", "stage_late", "head"), norms, strict=True)
            ),
        )

    def latency(self, block: str, position: Position, number: int) -> LatencyRecord:
        """Return a timing in the session of that number, with all its samples."""
        samples = 5 + self.generator.random(SAMPLES)
        ratio = float(0.9 + 0.2 * self.generator.random())
        baseline = COMPARED[1]
        return LatencyRecord(
            **self.common("latency", block, position, number),
            session=f"session {position} {number}",
            batch_size=2**number,
            samples_ms=tuple(samples),
            process_counts=(100, 100, 100),
            rounds=tuple(range(100)) * 3,
            median_ms=float(np.median(samples)),
            interval_ms=(5.4, 5.6),
            iqr_ms=0.5,
            std_ms=float(samples.std()),
            throughput_images_per_s=180.0,
            baseline=baseline,
            ratio=1.0 if block == baseline else ratio,
            ratio_interval=None if block == baseline else (ratio - 0.01, ratio + 0.01),
            verdict="baseline" if block == baseline else "undecided",
        )

    def cost(self, block: str, position: Position) -> CostRecord:
        """Return the counts of a network and its parts."""
        macs, params = (int(each) for each in self.generator.integers(10**6, 10**8, 2))
        form = FormCost(params_total=params, params_trainable=params, macs=macs)
        names = ("stem", *(f"stage_{each}" for each in POSITIONS), "head")
        memory = MemoryUse(
            batch_size=1,
            peak_bytes=4 * params,
            parameters_bytes=4 * params,
            gradients_bytes=0,
            optimizer_bytes=0,
            activations_bytes=0,
            temporaries_bytes=0,
        )
        return CostRecord(
            **self.common("cost", block, position, 0),
            train=form,
            deploy=form,
            stage_train=form,
            stage_deploy=form,
            parts=tuple(PartCost(name=name, train=form, deploy=form) for name in names),
            memory_inference=memory,
            memory_training=memory,
        )


def compare_sweep() -> SweepRequest:
    """Return what `compare_command` runs."""
    mine, other = COMPARED
    protocol = get_protocol(PROTOCOL).changed(
        blocks=(other, mine), positions=(PLACE,), seeds=tuple(range(COMPARED_SEEDS))
    )
    return SweepRequest(protocol=protocol, device="cpu")


def compare_command(folder: Path) -> list[str]:
    """Return the arguments of a comparison that finds all its trials in the store."""
    options = {"-p": PLACE, "--seeds": COMPARED_SEEDS, "--protocol": PROTOCOL, "--device": "cpu"}
    return ["compare", *COMPARED, *_words(options), "--results", str(folder)]


def _words(options: dict[str, object]) -> list[str]:
    return [str(word) for pair in options.items() for word in pair]


def compared_trials(request: SweepRequest) -> tuple[Trial, ...]:
    """Return the trials of the comparison, none of which has run."""
    with tempfile.TemporaryDirectory() as empty, Store(empty, create=True) as store:
        return make_plan(request, store).trials


def all_records(maker: Maker, number: int) -> Iterator[Record]:
    """Yield that many records, seed by seed: costs, then latencies, then trainings."""
    places = list(product(POSITIONS, list_available_blocks()))
    # The compared ones first: they are in the smallest store.
    places.sort(key=lambda place: (place[1] not in COMPARED, place[0] is not PLACE))
    costs = min(len(places), -(-number // COST_SHARE))
    timed = number // LATENCY_SHARE
    yield from (maker.cost(block, position) for position, block in places[:costs])
    repeated = ((again, *place) for again in count() for place in places)
    for session, position, block in islice(repeated, timed):
        yield maker.latency(block, position, session)
    wanted = [(seed, *place) for seed in range(COMPARED_SEEDS) for place in places[: len(COMPARED)]]
    every = ((seed, *place) for seed in count() for place in places)
    others = (each for each in every if each not in wanted)
    for seed, position, block in islice(chain(wanted, others), number - costs - timed):
        yield maker.training(block, position, seed)


def write_store(folder: Path, number: int) -> None:
    """Write that many records into a new store in that folder."""
    made = all_records(Maker(compare_sweep()), number)
    with Store(folder, create=True) as store:
        while part := list(islice(made, _PART)):
            store.put_all(part)


def main() -> None:
    """Write one store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    write_store(options.folder, options.records)
    print(f"wrote {options.records} records into {options.folder}")


if __name__ == "__main__":
    main()
