"""Every table that a command prints, of made-up results with names as long as real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from blockzoo.analysis.compare import compare_records
from blockzoo.analysis.curves import Curve, Point
from blockzoo.analysis.fronts import fronts
from blockzoo.analysis.groups import Terms
from blockzoo.analysis.ranks import rankings
from blockzoo.analysis.roofline import Roof, place_under
from blockzoo.analysis.specialisation import specialisations
from blockzoo.analysis.summary import summarize
from blockzoo.analysis.tracks import compare_tracks
from blockzoo.analysis.ways import way_ratios
from blockzoo.blocks import get_block
from blockzoo.cli.actions.machine import findings_table
from blockzoo.contract.check import BlockReport
from blockzoo.contract.findings import Finding, Verdict
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.exported import Exported
from blockzoo.experiments.marginal import Additivity, Marginal
from blockzoo.experiments.matching import Fit
from blockzoo.experiments.protocol import get_protocol, protocol_names
from blockzoo.experiments.protocol_settings import shown
from blockzoo.experiments.roofline import RooflineResult, RooflineRow
from blockzoo.experiments.scaling import BestThroughput
from blockzoo.experiments.theory import StageTheory
from blockzoo.experiments.tuning.track import Track
from blockzoo.experiments.tuning.tries import Try
from blockzoo.experiments.tuning.tune import Tuning
from blockzoo.measure.costs.receptive_field import EffectiveField, ReceptiveField
from blockzoo.measure.costs.traffic import Traffic
from blockzoo.measure.machine import doctor
from blockzoo.measure.timing.api import ThroughputPoint, ThroughputSearch
from blockzoo.measure.timing.peaks import Peaks
from blockzoo.report.tables import contract, measured, scaling, zoo
from blockzoo.report.tables import training as trainings
from blockzoo.report.tables.comparison import comparison_table
from blockzoo.report.tables.curves import curves_table
from blockzoo.report.tables.exported import exported_table
from blockzoo.report.tables.fits import fits_table
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.fronts import front_table
from blockzoo.report.tables.latencies import latencies_table
from blockzoo.report.tables.protocols import protocol_table, protocols_table
from blockzoo.report.tables.ranks import ranking_table
from blockzoo.report.tables.roofline import roofline_table
from blockzoo.report.tables.specialisation import specialisation_table
from blockzoo.report.tables.summary import summary_table
from blockzoo.report.tables.ways import ways_table
from blockzoo.results.budgets import Match
from blockzoo.results.records import (
    CostRecord,
    FormCost,
    LatencyRecord,
    PartCost,
    RobustnessMetrics,
    TrainingRecord,
)
from blockzoo.results.table.frame import results_frame
from blockzoo.results.table.latencies import latencies_frame
from blockzoo.scaffold.placement import Placement
from blockzoo.stats.paired_seeds import mean_interval
from tests import record_samples
from tests.analysis.test_ways import timed
from tests.record_samples import SCAFFOLD, memory

MINE = "my_long_module_name/blocks_of_mine.py:SqueezedInvertedResidual[expansion=3.75]"
WIDER = MINE.replace("3.75", "4.25")
LARGE = "classic/ReparamLargeKernelConv"
CONTEXT = "ResNetBasicBlock"
BLOCKS = (MINE, WIDER, LARGE, CONTEXT)


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cost(trial: str, *args: Any, **changes: Any) -> CostRecord:
    return record_samples.cost(_id(trial), *args, **changes)


def latency(trial: str = "", *args: Any, **changes: Any) -> LatencyRecord:
    return record_samples.latency(_id(trial), *args, **changes)


def training(trial: str = "", *args: Any, **changes: Any) -> TrainingRecord:
    return record_samples.training(_id(trial), *args, **changes)


EVERYWHERE = tuple(map(str, POSITIONS))
REASON = (
    "RuntimeError: Given groups=1, weight of size [128, 64, 1, 1], expected input[1, 96, 16, 16] "
    "to have 64 channels, but got 96 channels instead (blocks_of_mine.py:1027)"
)
CPU = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"


def _trainings(seeds: int = 4) -> list[TrainingRecord]:
    places = [(block, p) for block in BLOCKS[:3] for p in POSITIONS]
    robustness = RobustnessMetrics(
        corruption_accuracy={
            "gaussian_noise": (0.8123, 0.7012, 0.5, 0.4, 0.3),
            "contrast": (0.9, 0.8, 0.7, 0.6, 0.5),
        },
        mean_corruption_accuracy=0.62345,
        shift_accuracy=0.8125,
        shift_consistency=0.9375,
        resolution_accuracy={"0.75": 0.375, "1.25": 0.61234, "1.5": None},
    )
    own = [
        training(
            f"{block} {p} {seed}",
            block,
            (str(p),),
            seed=seed,
            dataset="cifar100",
            protocol="v1~3f2a9c",
            test_accuracy=0.71 + 0.012 * row + 0.001 * ((seed * 3 + row) % 4),
            training_seconds=1234.567,
            images_per_s=12345.6,
            robustness=robustness,
        )
        for row, (block, p) in enumerate(places)
        for seed in range(seeds)
    ]
    context = [
        training(
            f"c {seed}",
            CONTEXT,
            EVERYWHERE,
            seed=seed,
            dataset="cifar100",
            protocol="v1~3f2a9c",
            test_accuracy=0.78 + 0.001 * (seed % 3),
            robustness=robustness,
        )
        for seed in range(seeds)
    ]
    lost = training(
        "lost", MINE, ("late",), seed=9, dataset="cifar100", protocol="v1~3f2a9c",
        status="failed", reason=REASON, robustness=None,
    )  # fmt: skip
    return [*own, *context, lost]


def _costs() -> list[CostRecord]:
    form = FormCost(params_total=12_345_678, params_trainable=12_345_000, macs=1_234_567_890)
    parts = [
        PartCost(name=name, train=form, deploy=form, training_macs=3_703_703_670)
        for name in ("stem", "stage_early", "stage_mid", "stage_late", "head")
    ]
    counted = [
        cost(
            block,
            block,
            (("early", "mid", "late")[row % 3],),
            train=form,
            deploy=form,
            stage_train=form,
            stage_deploy=form,
            parts=tuple(parts),
            training_macs=3_703_703_670,
            stage_training_macs=2_000_000_001,
            uncounted=("aten.im2col",),
            uncounted_macs={"aten.im2col": 1_234_567},
            memory_inference=memory(1, 12_345_678),
            memory_training=memory(64, 1_987_654_321).model_copy(
                update={"optimizer": "adamw, averaged weights"}
            ),
            measured_inference_bytes=13_333_333,
            measured_training_bytes=2_111_111_111,
        )
        for row, block in enumerate(BLOCKS)
    ]
    return [*counted, cost("lost", MINE, ("late",), status="failed", reason=REASON)]


def _latencies() -> list[LatencyRecord]:
    environment = latency().environment.model_copy(update={"processor": CPU})
    ways = [("eager", "fp32"), ("onnxruntime", "int8")]
    ok = [
        latency(
            f"{block} {backend}",
            block,
            ("mid",),
            environment=environment,
            backend=backend,
            precision=precision,
            median_ms=12.3456 + row,
            interval_ms=(12.3 + row, 12.5 + row),
            ratio=0.91234 + row / 10,
            ratio_interval=(0.9012 + row / 10, 0.9256 + row / 10),
            verdict="baseline" if block == CONTEXT else ("faster", "undecided", "slower")[row],
            baseline=CONTEXT,
            throughput_images_per_s=12345.6,
            session="s",
            energy_j_per_image=0.0123456,
            energy_interval_j=(0.0121, 0.0126),
            energy_repetitions_j=(0.012, 0.0123, 0.0127),
            exported_bytes=4_423_374,
            process_memory_bytes=99_123_456,
        )
        for row, block in enumerate(BLOCKS)
        for backend, precision in ways
    ]
    lost = latency("lost", MINE, ("late",), environment=environment, status="failed",
                   reason=REASON, median_ms=None, session="s")  # fmt: skip
    return [*ok, lost]


def _comparison() -> FittedTable:
    scaffold = SCAFFOLD.model_copy(update={"context": CONTEXT})
    records = [
        training(f"{b} {seed}", b, seed=seed, test_accuracy=accuracy + jitter, scaffold=scaffold)
        for b, accuracy in zip(BLOCKS, (0.93, 0.91, 0.90, 0.902), strict=True)
        for seed, jitter in enumerate((0.0, 0.011, 0.031, -0.004, 0.013))
    ]
    timings = [
        latency(b, b, session="s", baseline=CONTEXT, ratio=1.0 if b == CONTEXT else 0.91)
        for b in BLOCKS
    ]
    costs = [cost(b, b) for b in BLOCKS]
    return comparison_table(
        compare_records([*records, *timings, *costs], MINE, BLOCKS[1:], [Position.MID])
    )


def _curves() -> FittedTable:
    terms = Terms.of(training())
    points = (
        Point(x=1, y=mean_interval([0.1123, 0.1243, 0.1334])),
        Point(x=200, y=mean_interval([0.8123, 0.8243, 0.8334])),
    )
    curves = [
        Curve(block=block, position=Position.MID, terms=terms, points=points, failed=2)
        for block in BLOCKS
    ]
    return curves_table(curves, "val_accuracy: cifar100, v1", "epoch", scale=100.0)


def _exported() -> FittedTable:
    found = [
        Exported(
            block=block,
            position=Position.MID,
            seed=seed,
            way=RunWay(backend="onnxruntime", precision="int8"),
            trained_accuracy=0.80,
            accuracy=0.78 + seed / 100,
            agreement=0.9525,
            exported_bytes=2_500_000,
        )
        for block in BLOCKS
        for seed in range(3)
    ]
    return exported_table(found)


def _fits() -> FittedTable:
    fits = [
        Fit(block=LARGE, position=p, fitted=f"{LARGE}[expansion=2.8284]", knob="expansion",
            cost=123_456_789, target=124_000_000.0)
        for p in POSITIONS
    ]  # fmt: skip
    poor = replace(fits[0], block=MINE, fitted=MINE, cost=999_000_000)
    unsure = replace(fits[0], half_width=4_000_000.0)
    return fits_table([*fits, poor, unsure], Match(cost="macs"))


def _marginals() -> list[Marginal]:
    known = [
        Marginal(block=block, position=Position.MID, marginal_ms=12.345, interval_ms=(12.1, 12.6),
                 network_ms=112.345, identity_ms=100.0)
        for block in BLOCKS
    ]  # fmt: skip
    return [*known, Marginal(block=MINE, position=Position.LATE, reason=REASON)]


def _additivity() -> FittedTable:
    sums = [
        Additivity(
            block=block,
            predicted_ms=112.345,
            measured_ms=110.123,
            error=0.0202,
            error_interval=(0.011, 0.031),
        )
        for block in BLOCKS
    ]
    return scaling.additivity_table(sums)


def _roofline() -> FittedTable:
    peaks = Peaks(
        device="cpu", threads=1, precision="fp32", flops_per_s=123.4e9, bytes_per_s=23.4e9
    )
    work = {"flops": 2_500_000_000, "moved_bytes": 345_678_901, "least_bytes": 12_345_678}
    traffic = Traffic(parameters_bytes=1_234_567, **work)
    roof = Roof(flops_per_s=peaks.flops_per_s, bytes_per_s=peaks.bytes_per_s)
    rows = [
        RooflineRow(
            record=record, traffic=traffic, achieved=place_under(roof, **work, latency_ms=56.78)
        )
        for record in (latency(block, block, EVERYWHERE) for block in BLOCKS)
    ]
    lost = RooflineRow(record=latency("x", MINE, status="failed", reason=REASON, median_ms=None))
    return roofline_table(RooflineResult(peaks=peaks, rows=(*rows, lost)))


def _scaling() -> FittedTable:
    records = [
        latency(f"{block} {batch}", block, batch_size=batch, throughput_images_per_s=speed * batch)
        for block, speed in zip(BLOCKS, (123.4, 234.5, 345.6, 111.1), strict=True)
        for batch in (1, 4, 16, 64, 256, 1024)
    ]
    lost = latency("x", MINE, batch_size=1024, status="failed", reason=REASON, median_ms=None)
    return scaling.scaling_table([*records, lost], "batch_size")


def _throughput() -> FittedTable:
    points = (
        ThroughputPoint(batch_size=1, latency_ms=1.0),
        ThroughputPoint(batch_size=512, latency_ms=41.0),
    )
    search = ThroughputSearch(points=points, stopped_by="no gain")
    good = [BestThroughput(search=search, record=latency(b, b)) for b in BLOCKS]
    lost = latency("x", MINE, status="failed", reason=REASON, throughput_images_per_s=None)
    return scaling.throughput_table([*good, BestThroughput(search=search, record=lost)])


def _tuning() -> Tuning:
    point = {"learning_rate": 0.0312345, "weight_decay": 5.1234e-4, "drop_path": 0.10234}
    tries = [
        Try(index=0, point=point, state="complete", value=0.81234, curve={1: 0.5, 200: 0.8}),
        Try(index=1, point=point, state="stopped", curve={1: 0.2}),
        Try(index=2, point=point, state="complete", value=0.82345, curve={1: 0.5, 200: 0.8}),
    ]
    return Tuning(
        placement=Placement.of(LARGE, "mid"), protocol=get_protocol("v1"), trials=tuple(tries)
    )


def _tracks() -> FittedTable:
    default = [training(f"d{s}", seed=s, test_accuracy=0.71 + s / 100) for s in range(4)]
    tuned = [training(f"t{s}", seed=s, test_accuracy=0.73 + s / 90) for s in range(4)]
    comparison = compare_tracks(default, tuned)
    return trainings.tracks_table([Track(tuning=_tuning(), comparison=comparison)] * 2)


def _stage_costs() -> zoo.Costs:
    form = FormCost(params_total=12_345_678, params_trainable=12_345_000, macs=1_234_567_890)
    part = PartCost(name="stage_mid", train=form, deploy=form)
    return {name: dict.fromkeys(POSITIONS, part) for name in (LARGE, CONTEXT, "RepMixer")}


def _zoo_table(*, costs: bool) -> FittedTable:
    specs = [get_block(name) for name in (LARGE, CONTEXT, "RepMixer")]
    return zoo.blocks_table(specs, _stage_costs() if costs else {})


def _theory() -> FittedTable:
    traffic = Traffic(
        flops=2_500_000_000,
        parameters_bytes=1_234_567,
        moved_bytes=345_678_901,
        least_bytes=12_345_678,
    )
    return zoo.theory_table(
        [
            StageTheory(
                position=position,
                stage_field=ReceptiveField(height=113, width=113),
                network_field=ReceptiveField(height=None, width=None),
                effective=EffectiveField(width=12.3, share_of_input=0.2),
                traffic=traffic,
                saved_bytes=12_345_678,
            )
            for position in POSITIONS
        ]
    )


def _reports() -> list[BlockReport]:
    findings = (
        Finding(line="builds at all positions", verdict=Verdict.PASSES),
        Finding(line="bf16", verdict=Verdict.FAILS, reason=REASON),
        Finding(line="export", verdict=Verdict.UNDECIDED, reason="stopped after 60.0 s"),
    )
    return [BlockReport(block=block, findings=findings) for block in BLOCKS]


def _findings() -> FittedTable:
    return findings_table(
        [
            doctor.Finding(subject="processor", verdict="ok", reading=CPU),
            doctor.Finding(
                subject="load",
                verdict="unfit",
                reading="3.17 of 2 cores are used by others: make (12345) at 90%, cc1plus (12346)",
                advice="stop the others, or wait until fewer than 0.10 cores are in use",
            ),
        ]
    )


def _ways() -> FittedTable:
    records = [
        timed(backend, factor, block=block, precision=precision)
        for block in BLOCKS
        for backend, factor, precision in (
            ("eager", 2.0, "fp32"),
            ("onnxruntime", 1.5, "fp32"),
            ("onnxruntime", 0.6, "int8"),
        )
    ]
    return ways_table(way_ratios(records))


TABLES: dict[str, Callable[[], FittedTable]] = {
    "profile": lambda: measured.cost_table(_costs()),
    "profile_parts": lambda: measured.parts_table(_costs()[0]),
    "profile_memory": lambda: measured.memory_table(_costs()[0]),
    "profile_measured_memory": lambda: measured.measured_memory_table(_costs()),
    "benchmark": lambda: measured.latency_table(_latencies()),
    "benchmark_ways": _ways,
    "train": lambda: trainings.training_table(_trainings()[::5]),
    "train_robustness": lambda: trainings.robustness_tables(_trainings()[:8])[0],
    "train_severity": lambda: trainings.robustness_tables(_trainings())[1],
    "tune_trials": lambda: trainings.trials_table(_tuning()),
    "tune_tracks": _tracks,
    "sweep": lambda: summary_table(
        summarize(results_frame([*_trainings(), *_costs(), *_latencies()]))
    ),
    "compare": _comparison,
    "compare_fits": _fits,
    "ranks": lambda: ranking_table(rankings(_trainings())[0]),
    "specialisation": lambda: specialisation_table(specialisations(_trainings())),
    "front": lambda: front_table(fronts([*_trainings(), *_costs()], "macs")[0]),
    "curves": _curves,
    "exported": _exported,
    "results_latencies": lambda: latencies_table(latencies_frame([*_latencies(), *_costs()])),
    "results_time_to": lambda: trainings.time_table(_trainings(), (0.5, 0.805)),
    "blocks": lambda: _zoo_table(costs=True),
    "blocks_no_costs": lambda: _zoo_table(costs=False),
    "blocks_one": lambda: zoo.facts_table(get_block("MobileOneBlock")),
    "blocks_one_costs": lambda: zoo.costs_in_full_table(_stage_costs()[LARGE]),
    "blocks_one_theory": _theory,
    "protocol_list": lambda: protocols_table([get_protocol(name) for name in protocol_names()]),
    "protocol_show": lambda: protocol_table(shown("v1", ["width=32", "epochs=20"])),
    "check": lambda: contract.full_table(_reports()[0]),
    "check_all": lambda: contract.summary_table(_reports()),
    "marginal": lambda: scaling.marginal_table(_marginals()),
    "marginal_additivity": _additivity,
    "roofline": _roofline,
    "scaling": _scaling,
    "scaling_throughput": _throughput,
    "doctor": _findings,
}
"""Each table by the command that prints it."""
