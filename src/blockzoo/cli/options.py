"""The options of the command line, each spelled once, the early version's names beside.

An option that one command alone has stands in that command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Blocks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BLOCK",
        help="Names as `blockzoo blocks` lists them, or FILE.py:CLASS, or MODULE:CLASS.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every registered block.")]
Positions = Annotated[
    list[str] | None,
    typer.Option(
        "--position",
        "-p",
        help="early, mid or late; may be repeated. (default: all three; train: mid)",
    ),
]
ProtocolName = Annotated[
    str, typer.Option("--protocol", help="quick, classic or v1: scaffold, recipe, data, seeds.")
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context", help="Block in the two other stages, or Identity. (default: the protocol's)"
    ),
]
Depth = Annotated[
    int | None,
    typer.Option("--depth", "--num-blocks", help="Blocks per stage. (default: the protocol's)"),
]
Width = Annotated[
    int | None,
    typer.Option(
        "--width", "--base-channels", help="Channels of the stem. (default: the protocol's)"
    ),
]
Stem = Annotated[
    str | None,
    typer.Option(
        "--stem", metavar="NAME", help="auto, small or large (stride 4). (default: the protocol's)"
    ),
]
Classes = Annotated[int, typer.Option("--classes", "--out-dim", help="Size of the output.")]
InputShape = Annotated[
    tuple[int, int, int, int] | None,
    typer.Option("--input-shape", metavar="B C H W", help="Batch, channels, height, width."),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Images per batch.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Resident = Annotated[
    str,
    typer.Option(
        "--resident",
        metavar="auto|yes|no",
        help="Whether all images lie on the training device; auto: where they fit well.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="digits, cifar10, cifar100, imagenet64, imagenet128, imagenet224, hf:NAME[:CONFIG], "
        "an .npz file or an image folder; FOLDER@64 for images of 64x64 pixels.",
    ),
]
Robustness = Annotated[
    bool,
    typer.Option(
        "--robustness", help="Also test on corrupted, shifted and resized images after training."
    ),
]
SkipBadImages = Annotated[
    bool,
    typer.Option(
        "--skip-bad-images", help="Leave out images of a folder that cannot be read, and say so."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where data sets are found, downloaded and kept decoded. (default: a cache folder)",
    ),
]
Threads = Annotated[
    str, typer.Option("--threads", metavar="N|all", help="CPU threads; all: one for each core.")
]
ResultsDir = Annotated[
    str,
    typer.Option("--results", help="Folder of the store and of results.csv, or a database URL."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE.csv", help="Also write the rows to this file."),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training set.")]
LearningRate = Annotated[
    float | None, typer.Option("--lr", "--learning-rate", help="Peak learning rate.")
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="auto, fp32 or bf16 (autocast).")
]
ExperimentName = Annotated[str, typer.Option("--experiment-name", help="Kept with the record.")]
Notes = Annotated[str, typer.Option("--notes", help="Kept with the record.")]
WarmupRuns = Annotated[
    int | None,
    typer.Option("--warmup-runs", help="Calls before the clock. (default: until steady)"),
]
BenchmarkRuns = Annotated[
    int | None,
    typer.Option("--benchmark-runs", help="Rounds exactly. (default: until the interval is 1%)"),
]
SaveTo = Annotated[
    str | None,
    typer.Option(
        "--results", help="Keep the records in the store in this folder, or database URL."
    ),
]
Seeds = Annotated[int, typer.Option("--seeds", help="How many seeds.")]
ChannelsLast = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--contiguous", help="Memory format. (default: as the device profits)"
    ),
]
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="NAME",
        help="Also log each epoch to csv, tensorboard, mlflow or wandb, in the results folder's "
        "`logs`; may be repeated.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Go on with a training that was stopped."),
]
OnOom = Annotated[
    str,
    typer.Option("--on-oom", help="Batch too large for memory: split it, or fail."),
]
Compiled = Annotated[
    bool, typer.Option("--compile/--no-compile", help="Train by torch.compile, once per network.")
]
SaveWeights = Annotated[
    bool, typer.Option("--save-weights", help="Keep the final weights in the results folder.")
]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", help="How to run them; repeatable.")
]
Precisions = Annotated[
    list[str] | None,
    typer.Option("--precision", help="fp32, bf16, fp16 or int8; repeatable."),
]
Caches = Annotated[
    list[str] | None,
    typer.Option(
        "--cache", help="What a call finds in the caches: hot (its own data) or cold; repeatable."
    ),
]
TimedChannelsLast = Annotated[
    bool, typer.Option("--channels-last/--contiguous", help="Memory format.")
]
Processes = Annotated[
    int | None, typer.Option("--processes", help="Fresh processes; 0 is this one. (default: 3)")
]
Rigorous = Annotated[bool, typer.Option("--rigorous", help="Twenty processes, longer budget.")]
OneProcess = Annotated[bool, typer.Option("--quick", help="One process.")]
Baseline = Annotated[
    str | None, typer.Option("--baseline", help="Block of the ratios. (default: the first)")
]
TimingBudget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        help="Seconds of timing per block and position at the most. "
        "(default: 6; 10 with --rigorous)",
    ),
]
Energy = Annotated[
    bool,
    typer.Option("--energy", help="Also measure joules per image; 13 s per block and position."),
]
OnePosition = Annotated[str, typer.Option("--position", "-p", help="early, mid or late.")]
BatchSizes = Annotated[
    str | None, typer.Option("--batch-sizes", metavar="N,N...", help="Images per batch.")
]
Resolutions = Annotated[
    str | None,
    typer.Option("--resolutions", metavar="N,N...", help="Height and width of the input."),
]
ThreadCounts = Annotated[
    str | None, typer.Option("--threads", metavar="N,N...", help="CPU threads.")
]
Throughput = Annotated[
    bool, typer.Option("--throughput", help="Search the batch of most images per second.")
]
LargestBatch = Annotated[
    int, typer.Option("--largest-batch", help="Where that search ends at the latest.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw it, as PNG or SVG.")
]
Source = Annotated[
    str, typer.Argument(help="A results folder, a store (file or URL), or a results CSV.")
]
