"""The verb benchmark on tiny blocks: gates, pairing, identity, failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec
from blockzoo.core.errors import BlockError, InputError, ParityError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.run_way import RunWay
from blockzoo.experiments import trial_identity
from blockzoo.experiments.benchmark import BenchmarkOptions, benchmark_blocks
from blockzoo.experiments.timed_placements import random_images
from blockzoo.experiments.trial_identity import latency_trial_id
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing import further
from blockzoo.measure.timing.energy import EnergyResult
from blockzoo.measure.timing.events import Event, Networks
from blockzoo.measure.timing.parity import check_merge
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

CONFIG = ScaffoldConfig(context="Identity", depth=1, width=4, input_shape=(3, 8, 8))
SETTINGS = LatencySettings(
    processes=0,
    min_rounds=4,
    rounds_max=4,
    min_seconds=0.0,
    warmup_max_s=0.01,
    min_sample_ms=0.01,
)


class Merged(nn.Module):
    """A convolution and batch normalization that merge; `mistake` is added to the merged bias."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, mistake: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels)
        self.mistake = mistake

    def reparameterize(self) -> None:
        """Fold the normalization into the convolution."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        self.conv = nn.utils.fusion.fuse_conv_bn_eval(self.conv, self.norm)
        self.norm = nn.Identity()
        assert self.conv.bias is not None
        with torch.no_grad():
            self.conv.bias += self.mistake

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.norm(self.conv(x))
        return y


class RaisesWhenMerged(Merged):
    """Runs in training form and raises in deploy form."""

    def reparameterize(self) -> None:
        """Break."""
        raise RuntimeError("cannot merge")


class RaisesWhenTimed(Merged):
    """Passes its gate of four images and raises on a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        """Refuse single images."""
        if len(x) == 1:
            raise RuntimeError("one image is too few")
        return super().forward(x)


def spec_of(name: str, factory: Callable[[int, int, int, Position], nn.Module]) -> BlockSpec:
    return BlockSpec(
        name=name,
        family="test",
        year=2024,
        paper="",
        source="here",
        licence="Apache-2.0",
        formula="y = bn(conv(x))",
        factory=factory,
    )


def conv_block(i: int, o: int, s: int, position: Position) -> nn.Module:
    return nn.Conv2d(i, o, 1, s)


def unbuildable(i: int, o: int, s: int, position: Position) -> nn.Module:
    raise ValueError("width must be odd")


CONV = spec_of("Conv", conv_block)
MERGED = spec_of("Merged", lambda i, o, s, p: Merged(i, o, s, 0.0))
MISTAKEN = spec_of("Mistaken", lambda i, o, s, p: Merged(i, o, s, 0.5))
UNMERGEABLE = spec_of("Unmergeable", lambda i, o, s, p: RaisesWhenMerged(i, o, s, 0.0))
UNTIMEABLE = spec_of("Untimeable", lambda i, o, s, p: RaisesWhenTimed(i, o, s, 0.0))
UNBUILDABLE = spec_of("Unbuildable", unbuildable)


def run(
    *blocks: BlockSpec | str,
    positions: tuple[Position | str, ...] = (Position.MID,),
    **more: Any,
) -> list[LatencyRecord]:
    return benchmark_blocks(blocks, positions, config=CONFIG, settings=SETTINGS, **more)


def id_of(
    block: BlockSpec, position: str = "mid", baseline: BlockSpec | None = None, **way: Any
) -> str:
    return latency_trial_id(
        Placement.of(block, position, CONFIG),
        settings=replace(SETTINGS, way=RunWay(**way)),
        baseline=None if baseline is None else Placement.of(baseline, position, CONFIG),
    )


def test_blocks_are_compared_with_the_first_at_their_position() -> None:
    records = run(CONV, MERGED, positions=("early", "mid"))
    assert [(record.block, record.positions) for record in records] == [
        ("Conv", (Position.EARLY,)),
        ("Merged", (Position.EARLY,)),
        ("Conv", (Position.MID,)),
        ("Merged", (Position.MID,)),
    ]
    for base, other in (records[:2], records[2:]):
        assert (base.verdict, base.ratio, base.baseline) == ("baseline", 1.0, "Conv")
        assert other.baseline == "Conv"
        paired = np.array(other.samples_ms) / np.array(base.samples_ms)
        assert other.ratio == pytest.approx(np.exp(np.median(np.log(paired))))


def test_a_record_says_how_it_was_made() -> None:
    settings = replace(SETTINGS, way=RunWay(batch_size=2, precision="bf16", channels_last=True))
    (record,) = benchmark_blocks(
        [MERGED],
        ["late"],
        config=CONFIG,
        settings=settings,
        options=BenchmarkOptions(experiment_name="trial run", notes="quiet machine"),
    )
    assert record.status == "ok"
    assert (record.device, record.precision, record.channels_last) == ("cpu", "bf16", True)
    assert (record.threads, record.environment.threads, record.batch_size) == (1, 1, 2)
    assert (record.experiment_name, record.notes) == ("trial run", "quiet machine")
    assert record.scaffold.width == 4
    assert len(record.samples_ms) == 4
    assert record.median_ms is not None
    assert record.throughput_images_per_s == pytest.approx(2000 / record.median_ms)
    assert record.parity_error is not None
    assert 0 < record.parity_error < 1e-5
    assert record.block_fingerprint


def test_the_id_is_known_before_and_covers_what_determines_the_result() -> None:
    known = id_of(MERGED, baseline=CONV)
    assert [record.trial_id for record in run(CONV, MERGED)] == [id_of(CONV), known]
    deeper = replace(CONFIG, depth=2)
    others = [
        id_of(CONV, baseline=CONV),
        id_of(MERGED, "late", baseline=CONV),
        latency_trial_id(
            Placement.of(MERGED, "mid", deeper),
            settings=SETTINGS,
            baseline=Placement.of(CONV, "mid", deeper),
        ),
        id_of(MERGED, baseline=CONV, threads=2),
        id_of(MERGED, baseline=CONV, batch_size=2),
        id_of(MERGED),
    ]
    assert len({known, *others}) == 7
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert id_of(MERGED, baseline=CONV, device="cpu") == known
    finally:
        torch.set_num_threads(before)
    assert id_of(CONV) == id_of(CONV, baseline=CONV)


def test_a_network_that_is_the_same_everywhere_is_measured_once() -> None:
    (record,) = run("Identity", positions=POSITIONS)
    assert record.positions == POSITIONS
    assert record.verdict == "baseline"


def test_the_same_network_with_different_baselines_has_a_record_for_each() -> None:
    records = benchmark_blocks(
        ["Identity"], ["mid", "late"], config=CONFIG, settings=SETTINGS, baseline=CONV
    )
    assert [(record.block, record.positions) for record in records] == [
        ("Conv", (Position.MID,)),
        ("Identity", (Position.MID,)),
        ("Conv", (Position.LATE,)),
        ("Identity", (Position.LATE,)),
    ]
    assert len({record.trial_id for record in records}) == 4


def test_a_block_named_twice_is_measured_once() -> None:
    assert [record.block for record in run(CONV, MERGED, CONV)] == ["Conv", "Merged"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (MISTAKEN, "ParityError: outputs differ by"),
        (UNMERGEABLE, "RuntimeError: cannot merge"),
        (UNTIMEABLE, "RuntimeError: one image is too few"),
        (UNBUILDABLE, "BlockError: block Unbuildable cannot be built"),
    ],
)
def test_a_block_that_fails_is_recorded_and_the_others_are_timed(
    broken: BlockSpec, reason: str
) -> None:
    good, failed = run(CONV, broken)
    assert good.status == "ok"
    assert good.median_ms is not None
    assert failed.status == "failed"
    assert (failed.reason or "").startswith(reason)
    assert "Traceback" in (failed.traceback or "")
    assert (failed.median_ms, failed.ratio, failed.samples_ms) == (None, None, ())
    assert failed.trial_id == id_of(broken, baseline=CONV)


@pytest.mark.parametrize(
    ("broken", "error"),
    [(MISTAKEN, ParityError), (UNTIMEABLE, BlockError), (UNBUILDABLE, BlockError)],
)
def test_failures_raise_when_asked_to(broken: BlockSpec, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(broken, options=BenchmarkOptions(on_error="raise"))


@pytest.mark.parametrize("broken", [MISTAKEN, UNTIMEABLE])
def test_without_a_baseline_medians_remain(broken: BlockSpec) -> None:
    failed, good = run(broken, CONV)
    assert failed.status == "failed"
    assert good.median_ms is not None
    assert (good.ratio, good.verdict) == (None, None)
    assert good.flags[-1] == "no baseline"


def test_a_block_that_cannot_be_built_fails_at_each_position() -> None:
    records = run(UNBUILDABLE, positions=POSITIONS)
    assert [record.positions for record in records] == [(p,) for p in POSITIONS]
    assert len({record.trial_id for record in records}) == 3


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="0 blocks and 1 positions given"):
        run()
    with pytest.raises(InputError, match="1 blocks and 0 positions given"):
        run(CONV, positions=())
    with pytest.raises(UnknownNameError, match="unknown position 'top'"):
        run(CONV, positions=("top",))
    with pytest.raises(UnknownNameError, match="unknown block 'Convolution9'"):
        run("Convolution9")


def test_only_what_determines_a_latency_is_in_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    described = describe_environment()

    def id_with(backend: str, **changed: object) -> str:
        told = {**described, **changed}
        monkeypatch.setattr(trial_identity, "describe_environment", lambda device: told)
        return id_of(CONV, backend=backend)

    eager = id_with("eager")
    assert id_with("eager", load_average=9.0, cpu_mhz=1.0, thread_variables={"A": "1"}) == eager
    assert id_with("eager", commit="other", openvino="1", onnxruntime="1", lightning="1") == eager
    assert id_with("eager", governor="powersave") != eager
    assert id_with("eager", thermal_events=7, hyper_threading=True, mkl="1") == eager
    assert id_with("eager", boost=True) != id_with("eager", boost=False)
    assert id_with("openvino", openvino="1") != id_with("openvino", openvino="2")
    assert id_with("openvino", onnxruntime="1") == id_with("openvino", onnxruntime="2")
    assert id_with("tensorrt", onnxruntime="1") != id_with("tensorrt", onnxruntime="2")


def test_every_part_of_the_way_of_running_is_in_the_id() -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"cache": "cold"},
        {"threads": 2},
        {"batch_size": 2},
        {"channels_last": True},
        {"precision": "bf16"},
        {"backend": "compile"},
    ]
    assert len({id_of(CONV, **way) for way in ways}) == len(ways)


def test_caches_are_one_more_way_to_run_with_ratios_of_their_own() -> None:
    records = run(CONV, MERGED, ways=RunWay().crossed(caches=("hot", "cold")))
    assert [record.cache for record in records] == ["hot", "cold", "hot", "cold"]
    assert len({record.trial_id for record in records}) == 4
    assert [record.verdict == "baseline" for record in records] == [True, True, False, False]


def test_what_is_measured_is_labelled_by_what_is_not_always_alike() -> None:
    events: list[Event] = []
    options = BenchmarkOptions(listener=events.append)
    (alone,) = run(CONV, options=options)
    ways = (RunWay(), RunWay(threads=2, batch_size=2))
    records = run(CONV, "Identity", ways=ways, positions=("mid", "late"), options=options)
    first, second = (event.labels for event in events if isinstance(event, Networks))
    assert first == {alone.trial_id: "Conv mid"}
    assert [second[record.trial_id] for record in records][:4] == [
        "Conv mid batch 1, 1 thread(s)",
        "Conv mid batch 2, 2 thread(s)",
        "Identity mid batch 1, 1 thread(s)",
        "Identity mid batch 2, 2 thread(s)",
    ]
    assert [record.way for record in records[:2]] == list(ways)
    assert records[1].throughput_images_per_s == pytest.approx(2000 / records[1].median_ms)  # type: ignore[operator]


def test_energy_is_kept_where_it_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = EnergyResult(
        interval=(0.02, 0.03),
        repetitions=(0.024, 0.025, 0.026),
        joules_per_image=0.25, counter="made up", power_w=9.0, idle_power_w=4.0, seconds=10.0,
        images=200,
    )  # fmt: skip
    answers: list[EnergyResult | None] = [measured, None]

    def measure(network: Network) -> EnergyResult | None:
        assert network.example.shape == (1, 3, 8, 8)
        return answers.pop(0)  # the third time it raises

    monkeypatch.setattr(further, "measure_network_energy", measure)
    monkeypatch.setattr(further, "find_counter", lambda device: "made up")
    records = run(CONV, MERGED, UNTIMEABLE, options=BenchmarkOptions(energy=True))
    assert [(r.energy_j_per_image, r.energy_counter) for r in records[:2]] == [
        (0.25, "made up"),
        (None, None),
    ]
    assert (answers, records[2].status, records[2].energy_counter) == ([], "failed", None)
    (kept,) = run(CONV, options=BenchmarkOptions(energy=True))
    assert (kept.status, kept.energy_j_per_image) == ("ok", None)
    assert all(record.energy_counter is None for record in run(CONV))


def test_norms_are_folded_unless_the_way_says_not_to_and_the_record_says_which() -> None:
    ways = RunWay().crossed(forms=["folded", "deploy"])
    records = run(CONV, MERGED, ways=ways)
    by_form = {(record.block, record.form): record for record in records}
    assert {form for _, form in by_form} == {"folded", "deploy"}
    assert len({record.trial_id for record in records}) == 4
    folded, deploy = by_form["Conv", "folded"], by_form["Conv", "deploy"]
    network = Placement.of(CONV, "mid", CONFIG).build()
    # Only the stem has a norm, of as many weights as biases: its biases become the convolution's.
    assert folded.params_folded == sum(p.numel() for p in network.parameters()) - CONFIG.width
    assert deploy.params_folded is None
    assert folded.way == RunWay()
    # Each is compared to the baseline in its own form.
    assert [record.verdict == "baseline" for record in records] == [True, True, False, False]


def test_an_older_record_is_of_the_form_without_folding() -> None:
    (record,) = run(CONV)
    older = record.model_dump(exclude={"form", "params_folded", "verdict_reason"})
    assert LatencyRecord.model_validate(older).way.form == "deploy"


def test_the_gate_looks_at_other_images_than_those_that_are_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Tensor] = []

    def listening(module: nn.Module, merge: Any, example: Tensor, **more: Any) -> Any:
        seen.append(example)
        return check_merge(module, merge, example, **more)

    monkeypatch.setattr("blockzoo.experiments.timed_placements.check_merge", listening)
    run(CONV)
    timed = random_images(1, CONFIG, SETTINGS.seed)
    (images,) = seen
    assert not any(torch.equal(image, timed[0]) for image in images)


def test_a_record_says_where_it_was_asked_for_and_which_run_it_shares_with_others() -> None:
    config = replace(CONFIG, context="ConvBNAct")
    blocks = ["ConvBNAct", "Identity"]
    first = benchmark_blocks(blocks, ["late", "mid"], config=config, settings=SETTINGS)
    again = benchmark_blocks(blocks[:1], ["mid"], config=config, settings=SETTINGS)
    (shared,) = [record for record in first if record.block == "ConvBNAct"]
    assert shared.positions == (Position.EARLY, Position.MID, Position.LATE)
    assert shared.asked == (Position.LATE, Position.MID)
    assert again[0].asked == (Position.MID,)
    assert len({record.session for record in first}) == 1
    assert {again[0].session} & {record.session for record in first} == set()
