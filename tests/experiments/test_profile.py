"""Costs of scaffolded blocks: against real networks, against sums, and when a block fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import BlockSpec, to_deploy
from blockzoo.core.errors import BlockError, DeviceError, InputError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.experiments import profile
from blockzoo.experiments.part_costs import stage_cost
from blockzoo.experiments.profile import CostSettings, profile_block, profile_blocks
from blockzoo.experiments.trial_identity import cost_trial_id
from blockzoo.measure.costs.memory import TrainingStep, inference_memory, training_memory
from blockzoo.report.tables.measured import cost_table, measured_memory_table, parts_table
from blockzoo.results.records import CostRecord, FormCost
from blockzoo.results.table.join import result_rows
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement
from blockzoo.training.optimisation import step_of
from blockzoo.training.recipe import get_recipe
from tests.report.tables.reading import column_of, rows_of

SMALL = ScaffoldConfig(width=8, depth=2, classes=3, input_shape=(3, 17, 14))
COUNTS = CostSettings(memory=False)
ISOLATED = replace(SMALL, context="Identity")


def spec(factory: object, name: str = "Made up") -> BlockSpec:
    assert callable(factory)
    return BlockSpec(
        name=name,
        family="test",
        year=2024,
        paper="",
        source="here",
        licence="Apache-2.0",
        formula="y = f(x)",
        factory=factory,
    )


class Plain(nn.Conv2d):
    """A 3x3 convolution without bias."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> None:
        super().__init__(in_channels, out_channels, 3, stride, padding=1, bias=False)


class Choosy(Plain):
    """A block that looks at values, which tensors without data do not have."""

    def forward(self, input: Tensor) -> Tensor:
        output = super().forward(input)
        return output if bool(input.sum() < 1) else -output


def refuses_mid(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    if position is Position.MID:
        raise ValueError("no middle")
    return Plain(in_channels, out_channels, stride, position)


def difference(minuend: FormCost | None, subtrahend: FormCost | None) -> FormCost:
    assert minuend is not None
    assert subtrahend is not None
    return FormCost(
        params_total=minuend.params_total - subtrahend.params_total,
        params_trainable=minuend.params_trainable - subtrahend.params_trainable,
        macs=minuend.macs - subtrahend.macs,
    )


def counted(net: nn.Module, config: ScaffoldConfig) -> FormCost:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.eval()(torch.zeros(1, *config.input_shape))
    return FormCost(
        params_total=sum(value.numel() for value in net.parameters()),
        params_trainable=sum(value.numel() for value in net.parameters() if value.requires_grad),
        macs=counter.get_total_flops() // 2,
    )


@pytest.mark.parametrize("block", ["InvertedResidual", "MobileOneBlock", "GhostBottleneckV3"])
@pytest.mark.parametrize("position", POSITIONS)
def test_costs_are_those_of_the_real_network(block: str, position: Position) -> None:
    record = profile_block(block, position, config=SMALL, memory=False)
    net = ScaffoldNet(block, position, SMALL)
    assert record.train == counted(net, SMALL)
    assert record.deploy == counted(to_deploy(net), SMALL)


def test_memory_is_that_of_the_real_network() -> None:
    record = profile_block("MobileOneBlock", "mid", config=SMALL, training_batch_size=7)
    net = ScaffoldNet("MobileOneBlock", "mid", SMALL)
    inference = inference_memory(to_deploy(net), SMALL.input_shape)
    training = training_memory(net, SMALL.input_shape, 7)
    assert record.memory_inference is not None
    assert record.memory_training is not None
    assert record.memory_inference.model_dump(exclude_none=True) == vars(inference)
    assert record.memory_training.model_dump(exclude={"optimizer"}) == vars(training)
    assert training.optimizer_bytes == 4 * counted(net, SMALL).params_trainable


@pytest.mark.slow
def test_measured_memory_is_near_the_counted_one() -> None:
    (record,) = profile_blocks(["Identity"], ["mid"], settings=CostSettings(measured_on="cpu"))
    assert record.memory_inference is not None
    assert record.memory_training is not None
    assert record.measured_inference_bytes is not None
    assert record.measured_training_bytes is not None
    largest = 64 * 64 * 32 * 32 * 4
    counted = record.memory_training.peak_bytes
    assert 0.9 * counted <= record.measured_training_bytes <= 1.1 * counted + 2 * largest
    counted = record.memory_inference.peak_bytes
    assert abs(record.measured_inference_bytes - counted) <= 8_000_000


def test_memory_is_measured_on_the_device_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def measured(
        net: nn.Module,
        shape: tuple[int, ...],
        batch: int = 1,
        device: str = "",
        *step: TrainingStep,
    ) -> int:
        asked.append((batch, device, *step))
        return 7

    monkeypatch.setattr(profile, "resolve_device", lambda name: torch.device(f"{name}:3"))
    monkeypatch.setattr(profile, "measured_inference_memory", measured)
    monkeypatch.setattr(profile, "measured_training_memory", measured)
    (record,) = profile_blocks(
        ["Identity"],
        ["mid"],
        config=SMALL,
        settings=CostSettings(measured_on="cuda", training_step=TrainingStep(optimizer="adam")),
    )
    assert asked == [(1, "cuda:3"), (64, "cuda:3", TrainingStep(optimizer="adam"))]
    assert (record.measured_memory_device, record.measured_training_bytes) == ("cuda:3", 7)
    table = measured_memory_table([record])
    assert table.title == "Peak memory, MB: counted from shapes and of the allocator of cuda:3"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_memory_on_a_device_that_is_absent_is_refused() -> None:
    with pytest.raises(DeviceError, match="device 'cuda' is not available; there is: cpu"):
        profile_blocks(["Identity"], ["mid"], settings=CostSettings(measured_on="cuda"))


def test_a_stage_of_plain_convolutions_by_hand() -> None:
    record = profile_block(spec(Plain), Position.MID, config=SMALL)
    height, width = 9, 7  # of 17 and 14, halved and rounded up
    first, second = 16 * 8 * 9, 16 * 16 * 9
    assert record.stage_train == FormCost(
        params_total=first + second,
        params_trainable=first + second,
        macs=(first + second) * height * width,
    )
    assert record.stage_train == record.stage_deploy
    assert record.stage_training_macs == 3 * record.stage_train.macs
    assert record.positions == (Position.MID,)
    assert record.uncounted == ()


@pytest.mark.parametrize("config", [SMALL, ISOLATED])
@pytest.mark.parametrize("block", ["MobileOneBlock", "UniversalInvertedBottleneck"])
@pytest.mark.parametrize("position", POSITIONS)
def test_the_stage_is_the_whole_less_the_same_scaffold_with_identity(
    block: str, position: Position, config: ScaffoldConfig
) -> None:
    whole = profile_block(block, position, config=config, memory=False)
    without = profile_block("Identity", position, config=config, memory=False)
    assert whole.stage_train == difference(whole.train, without.train)
    assert whole.stage_deploy == difference(whole.deploy, without.deploy)


def test_parts_add_up_to_the_whole() -> None:
    record = profile_block("MobileOneBlock", "late", config=SMALL, memory=False)
    names = [part.name for part in record.parts]
    assert names == ["stem", "stage_early", "stage_mid", "stage_late", "head"]
    for form in ("train", "deploy"):
        for count in ("params_total", "params_trainable", "macs"):
            total = sum(getattr(getattr(part, form), count) for part in record.parts)
            assert total == getattr(getattr(record, form), count)
    assert record.parts[3].train == record.stage_train
    assert record.parts[3].training_macs == record.stage_training_macs
    assert record.train is not None
    # Forward, and two gradients for each product; the images that the stem is given need none.
    assert [part.training_macs for part in record.parts] == [
        (2 if part.name == "stem" else 3) * part.train.macs for part in record.parts
    ]
    assert record.training_macs == 3 * record.train.macs - record.parts[0].train.macs
    assert record.parts[4].train == FormCost(params_total=99, params_trainable=99, macs=96)


def test_the_context_block_is_one_record_for_all_positions() -> None:
    records = profile_blocks(["ResNetBasicBlock", "RepMixer"], config=SMALL, settings=COUNTS)
    assert [(record.block, record.positions) for record in records] == [
        ("ResNetBasicBlock", POSITIONS),
        *(("RepMixer", (position,)) for position in POSITIONS),
    ]
    late = profile_block("ResNetBasicBlock", "late", config=SMALL, memory=False)
    unlike = {
        "created_at",
        "environment",
        "asked",
        "stage_train",
        "stage_deploy",
        "stage_training_macs",
    }
    assert late.model_dump(exclude=unlike) == records[0].model_dump(exclude=unlike)
    assert (records[0].asked, late.asked) == (POSITIONS, (Position.LATE,))


def test_the_stage_under_test_is_that_of_the_position_also_where_the_network_is_one() -> None:
    # Convolutions of 3 x 3 without bias, a norm each; the first at mid and late with a shortcut.
    scaffold = replace(SMALL, width=16)
    expected = {"early": 9_344, "mid": 33_088, "late": 131_712}
    for position, params in expected.items():
        record = profile_block("ResNetBasicBlock", position, config=scaffold, memory=False)
        assert record.stage_train is not None
        assert record.stage_train.params_total == params
        assert stage_cost("ResNetBasicBlock", position, scaffold).train == record.stage_train
    (every,) = profile_blocks(["ResNetBasicBlock"], config=scaffold, settings=COUNTS)
    at_each = {str(p): every.stage_at(p) for p in POSITIONS}
    assert {name: part and part.train.params_total for name, part in at_each.items()} == expected
    rows = {row["position"]: row["stage_params_deploy"] for row in result_rows([every])}
    assert rows == expected
    late = profile_block("ResNetBasicBlock", "late", config=scaffold, memory=False)
    (row,) = result_rows([late])
    assert (row["position"], row["stage_params_deploy"]) == ("late", expected["late"])
    assert column_of(cost_table([late]), "position") == ["late"]
    parts = {part: params for part, params, *_ in rows_of(parts_table(late))}
    assert parts["stage under test"] == "131,712"
    parts = {part: params for part, params, *_ in rows_of(parts_table(every))}
    assert parts["stage under test (mid)"] == "33,088"


def test_the_trial_id_is_known_beforehand_and_tells_trials_apart() -> None:
    record = profile_block("RepMixer", "mid", config=SMALL, training_batch_size=5)
    mixer = Placement.of("RepMixer", Position.MID, SMALL)
    known = cost_trial_id(mixer, training_batch_size=5)
    assert record.trial_id == known
    wider, other = replace(SMALL, width=16), "InvertedResidual"
    others = {
        cost_trial_id(mixer, training_batch_size=6),
        cost_trial_id(mixer, training_batch_size=5, memory=False),
        cost_trial_id(mixer.at(Position.LATE), training_batch_size=5),
        cost_trial_id(replace(mixer, scaffold=wider), training_batch_size=5),
        cost_trial_id(Placement.of(other, Position.MID, SMALL), training_batch_size=5),
    }
    of_v1 = step_of(get_recipe("v1"))
    others.add(cost_trial_id(mixer, training_batch_size=5, training_step=of_v1))
    assert len(others | {known}) == 7
    counts = cost_trial_id(mixer, memory=False, training_step=of_v1)
    assert counts == cost_trial_id(mixer, memory=False)
    context = {cost_trial_id(Placement.of("ResNetBasicBlock", p, SMALL)) for p in POSITIONS}
    assert len(context) == 1


def test_memory_is_that_of_the_recipes_own_step() -> None:
    step = step_of(get_recipe("v1"))
    settings = CostSettings(training_batch_size=7, training_step=step)
    (record,) = profile_blocks(["RepMixer"], ["mid"], config=SMALL, settings=settings)
    usual = profile_block("RepMixer", "mid", config=SMALL, training_batch_size=7)
    assert record.memory_training is not None
    assert usual.memory_training is not None
    assert record.memory_training.optimizer == "adamw, averaged weights"
    assert usual.memory_training.optimizer == "sgd, momentum 0.9"
    # Two states and a copy, and a counter for each, where there was one state.
    assert record.memory_training.optimizer_bytes > 3 * usual.memory_training.optimizer_bytes
    assert record.trial_id == cost_trial_id(
        Placement.of("RepMixer", Position.MID, SMALL), training_batch_size=7, training_step=step
    )
    assert record.trial_id != usual.trial_id


def test_without_memory_there_is_none() -> None:
    record = profile_block("RepMixer", "mid", config=SMALL, memory=False)
    assert record.memory_inference is None
    assert record.memory_training is None


def test_profiling_twice_gives_the_same_and_leaves_no_trace() -> None:
    before = torch.get_rng_state()
    first, second = (profile_block("RepMixer", "mid", config=SMALL) for _ in range(2))
    assert first.model_dump(exclude={"created_at"}) == second.model_dump(exclude={"created_at"})
    assert torch.equal(torch.get_rng_state(), before)


def test_a_record_survives_its_way_through_text() -> None:
    record = profile_block("RepMixer", "mid", config=SMALL)
    assert CostRecord.model_validate_json(record.model_dump_json()) == record


def test_a_block_that_looks_at_values_is_profiled_on_the_cpu() -> None:
    choosy = profile_block(spec(Choosy), "early", config=SMALL)
    plain = profile_block(spec(Plain), "early", config=SMALL)
    assert choosy.train == plain.train
    assert choosy.memory_inference is not None
    assert plain.memory_inference is not None
    # what it looks at: a float32 sum and a boolean
    assert choosy.memory_inference.peak_bytes == plain.memory_inference.peak_bytes + 4 + 1


def test_a_block_that_fails_is_raised() -> None:
    with pytest.raises(BlockError, match=r"block Made up cannot be built .*: no middle"):
        profile_blocks([spec(refuses_mid)], config=SMALL)


def test_a_block_that_fails_is_recorded_and_the_others_go_on() -> None:
    block = spec(refuses_mid)
    early, mid, late = profile_blocks([block], config=SMALL, on_error="record")
    assert [early.status, mid.status, late.status] == ["ok", "failed", "ok"]
    assert mid.reason is not None
    assert mid.reason.startswith("block Made up cannot be built")
    assert mid.traceback is not None
    assert "no middle" in mid.traceback
    assert mid.positions == (Position.MID,)
    assert mid.trial_id == cost_trial_id(Placement.of(block, Position.MID, SMALL))
    assert mid.train is None


@pytest.mark.parametrize(
    ("blocks", "positions", "context"),
    [
        (["RepMixr"], ["mid"], "ResNetBasicBlock"),
        (["RepMixer"], ["middle"], "ResNetBasicBlock"),
        (["RepMixer"], ["mid"], "ResNetBasicBlok"),
    ],
)
def test_unknown_names_are_raised_even_where_failures_are_recorded(
    blocks: list[str], positions: list[str], context: str
) -> None:
    config = replace(SMALL, context=context)
    with pytest.raises(UnknownNameError):
        profile_blocks(blocks, positions, config=config, on_error="record")


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_refused(batch_size: int) -> None:
    with pytest.raises(InputError, match=f"training batch size is {batch_size}; it must be 1"):
        profile_block("RepMixer", "mid", config=SMALL, training_batch_size=batch_size)


def test_progress_counts_every_block() -> None:
    calls: list[tuple[int, int, str]] = []
    profile_blocks(
        ["ResNetBasicBlock", "Identity"],
        ["early", "late"],
        config=SMALL,
        settings=COUNTS,
        progress=lambda done, total, label: calls.append((done, total, label)),
    )
    assert calls == [(1, 2, "ResNetBasicBlock"), (2, 2, "Identity")]


def test_several_processes_give_the_same_records() -> None:
    blocks = ["Identity", "RepMixer", "MobileOneBlock", "ResNetBottleneck"] * 2
    alone, spread = (
        profile_blocks(blocks, ["mid"], config=SMALL, settings=COUNTS, processes=count)
        for count in (1, 2)
    )
    assert [record.model_dump(exclude={"created_at"}) for record in spread] == [
        record.model_dump(exclude={"created_at"}) for record in alone
    ]
