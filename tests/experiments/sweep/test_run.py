from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import registry
from blockzoo.blocks.registry import register_block
from blockzoo.core.position import POSITIONS, Position
from blockzoo.experiments import recording
from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.sweep import failures, run
from blockzoo.experiments.sweep.choice import Choice
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial, make_plan
from blockzoo.experiments.sweep.run import Outcome, SweepListener, SweepResult, run_sweep, run_trial
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.records import EpochMetrics, LatencyRecord, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.table.csv import read_results_csv
from blockzoo.training.recipe import get_recipe
from blockzoo.training.run_options import RunOptions


def protocol_of(dataset: Path, *blocks: str, **changes: object) -> Protocol:
    base = Protocol(
        name="tiny",
        width=4,
        depth=1,
        recipe=get_recipe("quick"),
        dataset=str(dataset),
        blocks=blocks,
        seeds=(0, 1),
        latency_budget_s=0.05,
        latency_processes=0,
    )
    return base.changed(**{"epochs": 1, "precision": "fp32", **changes})


def request_of(dataset: Path, *blocks: str, **changes: object) -> SweepRequest:
    return SweepRequest(protocol=protocol_of(dataset, *blocks, **changes), device="cpu")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "blockzoo.db", create=True) as opened:
        yield opened


def register_for_test(monkeypatch: pytest.MonkeyPatch, name: str, block: type[nn.Module]) -> None:
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    register_block(
        name, family="plain", year=2026, paper="", source="test", licence="", formula="y = x"
    )(block)


class Rest(nn.Module):
    """A well-behaved block for the faulty ones below to spoil."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, _: Position) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


def test_a_sweep_leaves_one_record_per_result_and_the_second_run_does_nothing(
    tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    request = request_of(tiny_npz, "ResNetBasicBlock", "InvertedResidual")
    csv_path = tmp_path / "results.csv"
    first = run_sweep(request, store, csv_path=csv_path)
    records = store.records()
    kinds = Counter((record.kind, record.block) for record in records)
    # ResNetBasicBlock in its own context is one network at three positions: one training per seed.
    assert kinds[("training", "ResNetBasicBlock")] == 2
    assert kinds[("training", "InvertedResidual")] == 6
    assert kinds[("cost", "InvertedResidual")] == kinds[("latency", "InvertedResidual")] == 3
    assert first.failed == 0
    assert all(record.status == "ok" for record in records)
    basic = [record for record in records if record.block == "ResNetBasicBlock"]
    assert all(record.positions == tuple(Position) for record in basic)

    before = csv_path.read_bytes()
    second = run_sweep(request, store, csv_path=csv_path)
    assert second == SweepResult(ran=0, failed=0, skipped=first.ran)
    assert store.records() == records
    assert csv_path.read_bytes() == before
    rows = read_results_csv(csv_path)
    networks = Counter((row["block"], row["position"], row["seed"]) for row in rows)
    assert len(networks) == 12
    assert set(networks.values()) == {1}
    assert all(row["latency_ms"] and row["flops"] and row["val_acc"] for row in rows)


def test_more_seeds_run_only_what_is_new(tiny_npz: Path, store: Store) -> None:
    positions = (Position.MID,)
    run_sweep(request_of(tiny_npz, "Identity", positions=positions), store)
    more = request_of(tiny_npz, "Identity", positions=positions, seeds=(0, 1, 2))
    plan = make_plan(more, store)
    assert [(trial.kind, trial.seed) for trial in plan.trials] == [("training", 2)]
    assert plan.done == 4


def test_costs_then_latencies_then_trainings_seed_by_seed(tiny_npz: Path, store: Store) -> None:
    plan = make_plan(request_of(tiny_npz, "Identity", "InvertedResidual"), store)
    order = [(trial.kind, trial.seed) for trial in plan.trials]
    assert order == (
        [("cost", None)] * 6
        + [("latency", None)] * 3
        + [("training", 0)] * 6
        + [("training", 1)] * 6
    )
    assert plan.trials[6].label == "latency 2 blocks early"
    assert plan.trials[9].label == "training Identity early, seed 0"


class RaisesWhenBuilt(Rest):
    def __init__(self, *arguments: object) -> None:
        raise RuntimeError("no such thing")


class RaisesWhenRun(Rest):
    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "meta":
            raise RuntimeError("not today")
        return super().forward(x)


class WrongShape(Rest):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :-1]


class NotANumber(Rest):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nan


@pytest.mark.parametrize(
    ("block", "reason", "failed_kinds"),
    [
        (RaisesWhenBuilt, "no such thing", {"cost", "latency"}),
        (WrongShape, r"it must be", {"cost", "latency"}),
        (RaisesWhenRun, "not today", {"latency", "training"}),
        (NotANumber, "NaN", {"latency", "training"}),
    ],
)
def test_a_faulty_block_is_recorded_and_the_others_go_on(
    block: type[nn.Module],
    reason: str,
    failed_kinds: set[str],
    tiny_npz: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_for_test(monkeypatch, "Faulty", block)
    request = request_of(tiny_npz, "Identity", "Faulty", positions=(Position.MID,), seeds=(0,))
    result = run_sweep(request, store)
    faulty = store.records(block="Faulty", status="failed")
    assert {record.kind for record in faulty} == failed_kinds
    assert all(reason in (record.reason or "") for record in faulty)
    assert result.failed == len(faulty)
    assert {record.status for record in store.records(block="Identity")} == {"ok"}
    assert len(store.records(block="Identity")) == 3
    # A failure is not a result: the next run tries it again.
    assert {trial.blocks for trial in make_plan(request, store).trials} == {("Faulty",)}


def test_a_diverging_loss_is_a_failed_record_with_its_reason(tiny_npz: Path, store: Store) -> None:
    wild = request_of(
        tiny_npz,
        "InvertedResidual",
        positions=(Position.MID,),
        seeds=(0,),
        learning_rate=1e30,
        epochs=3,
    )
    assert run_sweep(wild, store).failed == 1
    (record,) = store.records(kind="training")
    assert isinstance(record, TrainingRecord)
    assert (record.status, record.test_accuracy) == ("failed", None)
    assert "the loss is" in (record.reason or "")
    assert "DivergenceError" in (record.traceback or "")


def test_a_failed_training_says_on_which_device(
    tiny_npz: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[object] = []

    def describe(device: torch.device) -> dict[str, object]:
        described.append(device)
        return {**describe_environment("cpu"), "accelerator": "a GPU"}

    for module in (failures, recording):
        monkeypatch.setattr(module, "resolve_device", lambda text: torch.device("cuda"))
    monkeypatch.setattr(recording, "describe_environment", describe)
    request = request_of(tiny_npz, "Identity", positions=(Position.MID,), seeds=(0,))
    (trial,) = (trial for trial in make_plan(request, store).trials if trial.kind == "training")
    future: Future[Outcome] = Future()
    future.set_exception(RuntimeError("out of memory"))
    (record,) = run._outcome(request, trial, future).records
    assert isinstance(record, TrainingRecord)
    assert described == [torch.device("cuda")]
    assert (record.device, record.environment.accelerator) == ("cuda", "a GPU")
    assert (record.seed, record.reason) == (0, "RuntimeError: out of memory")


def test_latencies_of_a_position_are_paired_with_the_first_block(
    tiny_npz: Path, store: Store
) -> None:
    request = request_of(tiny_npz, "Identity", "InvertedResidual", positions=(Position.EARLY,))
    run_sweep(request, store)
    by_block = {record.block: record for record in store.records(kind="latency")}
    baseline, other = by_block["Identity"], by_block["InvertedResidual"]
    assert isinstance(baseline, LatencyRecord)
    assert isinstance(other, LatencyRecord)
    assert baseline.verdict == "baseline"
    assert (other.baseline, len(other.samples_ms)) == ("Identity", len(baseline.samples_ms))


class StopsAfter(SweepListener):
    def __init__(self, count: int) -> None:
        self.count = count

    def finished(self, outcome: Outcome) -> None:
        self.count -= 1
        if self.count == 0:
            raise KeyboardInterrupt


class Remembers(SweepListener):
    def planned(self, plan: Plan) -> None:
        self.plan = plan


@pytest.mark.parametrize("count", [1, 5, 9])
def test_ctrl_c_keeps_what_is_done_and_the_next_run_does_the_rest(
    count: int, tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    request = request_of(tiny_npz, "Identity", "InvertedResidual", seeds=(0,))
    csv_path, listener = tmp_path / "results.csv", Remembers()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(request, store, csv_path=csv_path, listener=StopsAfter(count))
    kept = {record.trial_id for record in store.records()}
    assert {row["trial_id"] for row in read_results_csv(csv_path) if row["trial_id"]} <= kept
    result = run_sweep(request, store, csv_path=csv_path, listener=listener)
    assert result.skipped == count
    assert kept.isdisjoint(id for trial in listener.plan.trials for id in trial.trial_ids)
    assert len(store.records()) == 6 + 6 + 6
    assert len(read_results_csv(csv_path)) == 6


def start_sweep(dataset: Path, results: Path, messages: int) -> subprocess.Popen[bytes]:
    command = f"{sys.executable} -m blockzoo sweep Identity InvertedResidual --protocol quick"
    options = f"--dataset {dataset} --width 4 --depth 1 --epochs 10 --device cpu --no-plots"
    options += " --latency-budget 0.05 --processes 0"
    return subprocess.Popen(
        [*command.split(), *options.split(), "--results", str(results)],
        stdout=subprocess.DEVNULL,
        stderr=messages,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell has what it starts in the background ignore SIGINT, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_records(results: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (results / "blockzoo.db").exists() and len(stored(results)) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {count} records in time")


def stored(results: Path) -> list[str]:
    try:
        with Store(results / "blockzoo.db") as opened:
            return [record.trial_id for record in opened.records()]
    except Exception:  # noqa: BLE001 - the file is being made at this moment
        return []


@pytest.mark.parametrize(
    ("stop", "status"),
    # What an interruption leaves is for `tests/cli/test_interruption.py` too.
    [(signal.SIGKILL, -9), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_process_stopped_in_mid_sweep_loses_nothing_and_repeats_nothing(
    stop: signal.Signals, status: int, tiny_npz: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    process = start_sweep(tiny_npz, results, subprocess.PIPE)
    wait_for_records(results, 13)
    process.send_signal(stop)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == status
    if stop is signal.SIGINT:
        assert messages.decode().splitlines()[-1] == (
            "stopped: what has ended is kept, and the same command goes on from there"
        )
    kept = stored(results)
    assert 13 <= len(kept) < 24

    process = start_sweep(tiny_npz, results, subprocess.DEVNULL)
    assert process.wait(timeout=120) == 0
    complete = stored(results)
    assert len(complete) == len(set(complete)) == 6 + 6 + 12
    assert set(kept) <= set(complete)
    with (results / "results.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + 12
    assert {len(row) for row in rows} == {len(rows[0])}


def test_a_sweep_leaves_no_checkpoint_and_goes_on_from_one(tiny_npz: Path, store: Store) -> None:
    folder = tiny_npz.parent / "checkpoints"
    request = replace(
        request_of(tiny_npz, "ResNetBasicBlock", seeds=(0,), epochs=2),
        options=RunOptions(checkpoints=folder),
    )
    trial = next(trial for trial in make_plan(request, store).trials if trial.kind == "training")
    run_trial(request, trial)  # not stored, as if killed in between
    assert [path.name for path in folder.iterdir()] == [f"{trial.trial_ids[0]}.ckpt"]
    assert run_sweep(request, store).failed == 0
    assert list(folder.iterdir()) == []
    for name in (trial.trial_ids[0], "of another sweep"):  # killed between record and removal
        (folder / f"{name}.ckpt").touch()
    assert run_sweep(request, store).ran == 0
    assert [path.name for path in folder.iterdir()] == ["of another sweep.ckpt"]


def test_compiled_trainings_are_trials_of_their_own(tiny_npz: Path, store: Store) -> None:
    request = request_of(tiny_npz, "ResNetBasicBlock")
    plain, compiled = (
        make_plan(asked, store).trials for asked in (request, replace(request, compiled=True))
    )
    differ = [
        one.kind
        for one, other in zip(plain, compiled, strict=True)
        if one.trial_ids != other.trial_ids
    ]
    assert differ == ["training"] * 2


@pytest.mark.usefixtures("forked_workers")
def test_trainings_side_by_side_learn_what_they_learn_alone_and_come_last(
    tiny_npz: Path, tmp_path: Path
) -> None:
    request = request_of(tiny_npz, "ResNetBasicBlock", "ConvMixerLayer")
    kinds: list[str] = []
    epochs: list[tuple[str, int]] = []

    class Listening(SweepListener):
        def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
            epochs.append((trial.trial_ids[0], metrics.epoch))

        def finished(self, outcome: Outcome) -> None:
            kinds.append(outcome.trial.kind)

    def learned(count: int) -> dict[str, object]:
        kinds.clear()
        with (
            Store(tmp_path / f"{count}.db", create=True) as store,
            executor_for(ExecutorChoice(workers=count), "cpu") as trainers,
        ):
            assert run_sweep(request, store, trainers=trainers, listener=Listening()).failed == 0
            records = store.records(kind="training")
        return {
            record.trial_id: (record.test_loss, [epoch.val_loss for epoch in record.epochs])
            for record in records
            if isinstance(record, TrainingRecord)
        }

    alone = learned(1)
    assert len(alone) == 8  # two blocks, three positions, one network for one of them, two seeds
    assert sorted(epochs) == sorted((trial, 1) for trial in alone)
    epochs.clear()
    assert learned(2) == alone
    assert sorted(epochs) == sorted((trial, 1) for trial in alone)
    assert kinds == sorted(kinds, key=["cost", "latency", "training"].index)


def test_rows_follow_what_was_asked_for_and_not_where_the_network_is_the_same(
    tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    def swept(*positions: Position) -> tuple[SweepResult, list[tuple[str, str]]]:
        request = request_of(tiny_npz, "ResNetBasicBlock", positions=positions, seeds=(0,))
        result = run_sweep(request, store, csv_path=tmp_path / "results.csv")
        rows = read_results_csv(tmp_path / "results.csv")
        return result, [(row["position"], row["trial_id"]) for row in rows]

    _, late = swept(Position.LATE)
    assert [position for position, _ in late] == ["late"]
    again, both = swept(Position.EARLY)
    assert again.ran == 0
    # One training stands for both, which its id says.
    assert {position for position, _ in both} == {"early", "late"}
    assert len({trial for _, trial in both}) == 1


def test_all_positions_are_timed_in_one_session_where_the_protocol_says_so(
    tiny_npz: Path, store: Store
) -> None:
    blocks = ("ResNetBasicBlock", "ConvBNAct", "Identity")
    apart = replace(request_of(tiny_npz, *blocks, seeds=(0,)), choice=Choice(only=("latency",)))
    protocol = apart.protocol.changed(latency_together=True)
    together = replace(apart, protocol=protocol)
    (session,) = make_plan(together, store).trials
    assert session.label == "latency 3 blocks early/mid/late"
    # The context block is one network wherever it stands.
    assert [(part.block, str(part.position)) for part in session.parts] == [
        ("ResNetBasicBlock", "early"),
        *[(block, place) for place in ("early", "mid", "late") for block in blocks[1:]],
    ]
    ids = {identity for trial in make_plan(apart, store).trials for identity in trial.trial_ids}
    assert ids == {*session.trial_ids}  # they are the same results
    assert run_sweep(together, store).failed == 0
    records = [each for each in store.records() if isinstance(each, LatencyRecord)]
    assert len({each.session for each in records}) == 1
    shown = {(each.block, place) for each in records for place in each.shown}
    assert shown == {(block, place) for block in blocks for place in POSITIONS}
    assert make_plan(apart, store).trials == make_plan(together, store).trials == ()


def test_of_a_session_over_all_positions_only_what_is_missing_is_timed_again(
    tiny_npz: Path, store: Store
) -> None:
    blocks = ("ResNetBasicBlock", "ConvBNAct", "Identity")
    request = replace(
        request_of(tiny_npz, *blocks, seeds=(0,), latency_together=True),
        choice=Choice(only=("latency",)),
    )
    (session,) = make_plan(request, store).trials
    wanted = {("ConvBNAct", "mid"), ("Identity", "late")}
    ids = [part.trial_id for part in session.parts if (part.block, str(part.position)) in wanted]
    kept = session.narrowed(ids)
    assert {(part.block, str(part.position)) for part in kept.parts} == wanted
    assert (kept.position, kept.positions) == (Position.MID, (Position.MID, Position.LATE))
    found = run_trial(request, kept).records
    timed = {(each.block, str(each.positions[0])) for each in found}
    assert timed == {*wanted, ("ResNetBasicBlock", "early")}  # the baseline beside them
    failed = failures.failed_records(request, kept, ValueError("no"))
    assert [(each.block, str(*each.positions), each.trial_id) for each in failed] == [
        (part.block, str(part.position), part.trial_id) for part in kept.parts
    ]
