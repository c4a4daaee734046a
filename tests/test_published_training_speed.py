"""What the pages say of training speed on a CPU is what the published records say."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/measurements/training-speed.md").read_text()


def record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    return found


@pytest.mark.parametrize(
    ("label", "cell", "digits"),
    [
        ("data pipeline", "data alone", 1),
        ("classic/ResNetBasicBlock plain", "`classic/ResNetBasicBlock`", 2),
        ("classic/ResNetBasicBlock compiled", "`classic/ResNetBasicBlock`, `--compile`", 2),
        ("classic/InvertedResidual plain", "`classic/InvertedResidual`", 2),
        ("classic/InvertedResidual compiled", "`classic/InvertedResidual`, `--compile`", 2),
    ],
)
def test_throughput(label: str, cell: str, digits: int) -> None:
    row = record("training_throughput")["images_per_s"][label]
    ratios = [ours / early for early, ours in zip(row["early"], row["blockzoo"], strict=True)]
    assert f"in each of n = {len(ratios)} rounds" in PAGE
    middle, low, high = (f"{f(ratios):.{digits}f}" for f in (median, min, max))
    assert f"| {cell} | {middle} ({low} to {high}) |" in PAGE


def test_throughput_again() -> None:
    again = record("training_throughput_again")
    data, plain, compiled = (row["ratios"] for row in again["images_per_s"].values())
    told = [f"{median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in (plain, compiled)]
    assert f"A second run of n = {len(data)} rounds" in PAGE
    assert (
        f"gave {median(data):.1f} for the data, {told[0]} for `classic/ResNetBasicBlock` " in PAGE
    )
    assert f" and {told[1]} compiled" in PAGE
    assert f"commit {again['environment']['commit'][:7]}" in PAGE


def test_overhead_of_the_trainer() -> None:
    shares = record("trainer_overhead")["shares"]
    middle, low, high = (f"{f(shares):.1%}" for f in (median, min, max))
    assert f"reached {middle} ({low} to {high}) of the images/s" in PAGE
    assert f"n = {len(shares)} rounds" in PAGE


def test_overhead_of_the_trainer_again() -> None:
    medians = [median(run["shares"]) for run in record("trainer_overhead_again")["runs"]]
    assert len(medians) == 4
    assert f"four more such runs had medians of {min(medians):.1%} to {max(medians):.1%}" in PAGE
    assert min(medians) >= 0.95


@pytest.mark.parametrize("row", record("freed_memory")["rows"], ids=lambda row: row["block"])
def test_gain_of_keeping_freed_memory(row: dict[str, Any]) -> None:
    gains = {
        name: [kept[name] / not_kept[name] for kept, not_kept in row["kept_and_not"]]
        for name in ("images_per_s", "peak_memory_bytes")
    }
    speeds, peaks = gains.values()
    assert f"medians of n = {len(speeds)} rounds and ranges" in PAGE
    what = f"| `{row['block']}` | `{row['recipe']}`, {row['batch_size']} |"
    speed = f"{median(speeds):.2f} ({min(speeds):.2f} to {max(speeds):.2f})"
    assert f"{what} {speed} | {median(peaks):.2f} |" in PAGE


def test_the_rule_for_depthwise_convolutions_follows_from_the_table() -> None:
    by_ratio = {}
    for row in record("depthwise_bf16")["rows"]:
        depthwise = row["groups"] == row["channels"]
        other = row["stride"] > 1 or row["dilation"] > 1 or row["kernel"] > 3
        by_ratio[row["bf16_ms"] / row["fp32_ms"]] = depthwise and other
    slow = [ratio for ratio in by_ratio if ratio > 1]
    assert all(in_fp32 is (ratio in slow) for ratio, in_fp32 in by_ratio.items())
    assert f"{min(slow):.1f} to {max(slow):.0f} times as long" in PAGE


def test_commits() -> None:
    """Those of one table are of one commit, and the page names each."""
    names = ("training_throughput", "freed_memory")
    commits = {record(name)["environment"]["commit"] for name in names}
    assert len(commits) == 1
    assert f"Both tables: commit {commits.pop()[:7]}, 2-core AMD EPYC virtual machine" in PAGE
    runs = [*record("trainer_overhead_again")["runs"]]
    runs += [record(name) for name in ("trainer_overhead", "depthwise_bf16")]
    commits = {run["environment"]["commit"] for run in runs}
    assert len(commits) == 1
    assert f"These two: commit {commits.pop()[:7]}, the same machine" in PAGE


def test_gain_of_two_trainings_side_by_side() -> None:
    found = record("side_by_side_cpu")
    speeds = found["images_per_s"]
    assert [len(rounds) for rounds in speeds.values()] == [5, 5]
    gain = median(speeds["2"]) / median(speeds["1"])
    page = " ".join(PAGE.split())  # however lines are broken
    assert f"a thread each, train {gain:.2f} times the images/s of one with both" in page
    commit = found["environment"]["commit"][:7]
    assert f"`benchmarks/results/side_by_side_cpu.json`, commit {commit}" in page
