"""The roofline end to end on small networks: what is placed under it, written, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner, Result

import blockzoo.cli  # noqa: F401 - adds the commands
from blockzoo.blocks import to_folded
from blockzoo.cli.app import app
from blockzoo.core.errors import InputError, ResultsError
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.roofline import measure_roofline
from blockzoo.measure.costs.complexity import count_macs
from blockzoo.measure.timing import peaks
from blockzoo.measure.timing.peaks import PeakSettings
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.report.figures.roofline_plot import roofline_figure
from blockzoo.report.tables.roofline import roofline_frame
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from tests.experiments.test_benchmark import spec_of, unbuildable

SMALL = ScaffoldConfig(width=8, depth=1)
FAST = LatencySettings(
    min_rounds=3,
    rounds_max=3,
    min_seconds=0.0,
    warmup_calls=1,
    warmup_max_s=0.01,
    budget_s=5.0,
    processes=0,
    way=RunWay(batch_size=2),
)
TINY = PeakSettings(matrix_side=64, copy_bytes=2**16, repeats=2)


def run_with(**changes: Any) -> LatencySettings:
    return replace(FAST, way=replace(FAST.way, **changes))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["roofline", *arguments])


BROKEN = spec_of("Broken", unbuildable)


def test_networks_are_placed_under_the_measured_roof_and_failures_kept() -> None:
    told: list[float] = []
    result = measure_roofline(
        ["ConvBNAct", "RepVGGBlock", BROKEN],
        ["mid"],
        config=SMALL,
        settings=FAST,
        peak_settings=TINY,
        progress=lambda fraction, text: told.append(fraction),
    )
    assert [row.achieved is None for row in result.rows] == [False, False, True]
    assert result.rows[2].record.status == "failed"
    assert told == sorted(told)
    row = result.rows[1]
    assert row.achieved is not None
    assert row.traffic is not None
    assert row.record.median_ms is not None
    # Merged: one convolution and bias per block, for both images of the batch.
    images = torch.zeros(2, 3, 32, 32)
    timed = to_folded(ScaffoldNet("RepVGGBlock", "mid", SMALL).eval(), images)
    assert row.traffic.flops == 2 * count_macs(timed, images)
    assert row.traffic.parameters_bytes == 4 * sum(p.numel() for p in timed.parameters())
    assert row.record.params_folded == sum(p.numel() for p in timed.parameters())
    assert row.achieved.flops_per_s == pytest.approx(row.traffic.flops / row.record.median_ms * 1e3)
    share = row.achieved.flops_per_s / result.peaks.flops_per_s
    assert row.achieved.compute_share == pytest.approx(share)
    frame = roofline_frame(result)
    assert frame["block"].tolist() == ["ConvBNAct", "RepVGGBlock"]
    assert frame["peak_bytes_per_s"].tolist() == [result.peaks.bytes_per_s] * 2
    (axes,) = roofline_figure(frame).axes
    assert {"ConvBNAct/mid", "RepVGGBlock/mid"} <= {str(x.get_label()) for x in axes.get_lines()}


def test_half_precision_moves_half_the_bytes() -> None:
    rows = [
        measure_roofline(
            ["ConvBNAct"],
            ["mid"],
            config=SMALL,
            settings=run_with(precision=precision),
            peak_settings=TINY,
        ).rows[0]
        for precision in ("fp32", "bf16")
    ]
    full, half = (row.traffic for row in rows)
    assert full is not None
    assert half is not None
    assert half.flops == full.flops
    assert 2 * half.parameters_bytes == full.parameters_bytes
    # Counters of normalisation's batches stay as they are, and count when all is moved once.
    assert half.moved_bytes == pytest.approx(full.moved_bytes / 2, rel=0.01)


def test_nothing_measured_cannot_be_drawn() -> None:
    result = measure_roofline([BROKEN], ["mid"], config=SMALL, settings=FAST, peak_settings=TINY)
    assert roofline_frame(result).empty
    with pytest.raises(ResultsError, match="no network was measured"):
        roofline_figure(roofline_frame(result))


def test_only_eager_floating_point_is_taken() -> None:
    with pytest.raises(InputError, match="backend is 'compile'; bytes moved are known for eager"):
        measure_roofline(["ConvBNAct"], ["mid"], settings=run_with(backend="compile"))
    with pytest.raises(InputError, match="precision is 'int8'; allowed: fp32, bf16, fp16"):
        measure_roofline(["ConvBNAct"], ["mid"], settings=run_with(precision="int8"))


def test_the_command_prints_writes_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks, "ON_CPU", TINY)
    plot, rows = tmp_path / "roofline.png", tmp_path / "rows.csv"
    result = run(
        *("ConvBNAct", "ResNetBasicBlock", "--protocol", "quick", "--position", "mid"),
        *("--device", "cpu", "--budget", "0.2", "--plot", str(plot), "--output", str(rows)),
    )
    assert result.exit_code == 0, result.output
    first, *rest = result.stdout.splitlines()
    assert first.startswith("Measured peaks of cpu, 1 thread(s), fp32: ")
    assert any("% of roof" in line and "bound by" in line for line in rest)
    assert any("ConvBNAct" in line and "mid" in line for line in rest)
    assert plot.read_bytes().startswith(b"\x89PNG")
    frame = pd.read_csv(rows)
    assert frame["block"].tolist() == ["ConvBNAct", "ResNetBasicBlock"]
    assert frame["positions"].tolist() == ["mid", "mid"]
    assert set(frame["bound"]) <= {"compute", "memory", "overhead"}
    assert (frame["flops_per_s"] / frame["peak_flops_per_s"]).tolist() == pytest.approx(
        frame["compute_share"].tolist()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "x.gif"], "figure format is 'gif'; allowed: png, svg"),
        (["--precision", "int8"], "precision is 'int8'; allowed: fp32, bf16, fp16"),
        (["--precision", "fp8"], "precision is 'fp8'"),
        (["--device", "cuda:99"], "device 'cuda:99' is not available"),
        (["--threads", "0"], "threads is 0"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--position", "middle"], "unknown position 'middle'"),
        (["NoSuchBlock"], "unknown block 'NoSuchBlock'"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str) -> None:
    result = run("ConvBNAct", *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr
