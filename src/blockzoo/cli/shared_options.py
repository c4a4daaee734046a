"""The options of the command line, each spelled once, the early version's names beside.

An option that one command or one group of options alone has stands there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.core import ranges

POSITIONS = "early|mid|late"
WHERE = "Which of the three stages holds the block, the first, second or last"

Blocks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BLOCK",
        help="Names as `blockzoo blocks` lists them, or FILE.py:CLASS, or MODULE:CLASS.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every registered block.")]
ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="quick, quick2, quick3, lite, classic or v1: scaffold, recipe, data, seeds; "
        "`blockzoo protocol list` sets them side by side.",
    ),
]
Context = Annotated[
    str | None,
    typer.Option("--context", help="Block in the two other stages, or Identity."),
]
Depth = Annotated[
    int | None,
    typer.Option("--depth", "--num-blocks", help="Blocks per stage."),
    ranges.DEPTH,
]
Width = Annotated[
    int | None,
    typer.Option("--width", "--base-channels", help="Channels of the stem."),
    ranges.WIDTH,
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Images per batch."), ranges.BATCH
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[
    str, typer.Option("--threads", metavar="N|all", help="CPU threads; all: one for each core.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE.csv", help="Also write the rows to this file."),
]
WarmupRuns = Annotated[
    int | None,
    typer.Option("--warmup-runs", help="Calls before the clock. (default: until steady)"),
    ranges.CALLS,
]
BenchmarkRuns = Annotated[
    int | None,
    typer.Option("--benchmark-runs", help="Rounds exactly. (default: until the interval is 1%)"),
    ranges.ROUNDS,
]
SaveTo = Annotated[
    str | None,
    typer.Option(
        "--results", help="Keep the records in the store in this folder, or database URL."
    ),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw it, as PNG or SVG.")
]
Source = Annotated[
    str, typer.Argument(help="A results folder, a store (file or URL), or a results CSV.")
]
Whole = Annotated[str, typer.Argument(help="A results folder or a store (file or URL).")]
"""What needs whole records, which a CSV does not have."""
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Take in what can be read, and say the rest."),
]
ShownPositions = Annotated[
    list[str] | None,
    typer.Option(
        "--position", "-p", metavar=POSITIONS, help=f"{WHERE}; repeatable. (default: all)"
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", help="Seeds of each network."),
    ranges.SEEDS,
]
LatencyBudget = Annotated[
    float | None,
    typer.Option(
        "--latency-budget",
        help="Seconds of timing per block and position at the most. (default: the protocol's)",
    ),
    ranges.SECONDS,
]
LatencyProcesses = Annotated[
    int | None,
    typer.Option(
        "--processes",
        help="Fresh processes that time, which share the latency budget; more make intervals "
        "narrower. "
        "(default: the protocol's)",
    ),
    ranges.PROCESSES,
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would run, and about how long.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Trainings at once, each in its own process. (default: 1; of a Ray cluster, as many "
        "as have room)",
    ),
    ranges.AT_ONCE,
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="digits, digits@16, cifar10, cifar100, cifar100-q95, imagenet64, imagenet128, "
        "imagenet224, hf:NAME[:CONFIG], an .npz file or an image folder; FOLDER@64 for images of "
        "64x64 pixels.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where data sets are found, downloaded and kept decoded. (default: a cache folder)",
    ),
]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="How to run them: eager, compile, cudagraphs, export, onnxruntime, openvino or "
        "tensorrt; repeatable. (default: eager)",
    ),
]
Precisions = Annotated[
    list[str] | None,
    typer.Option("--precision", metavar="NAME", help="fp32, bf16, fp16 or int8; repeatable."),
]
