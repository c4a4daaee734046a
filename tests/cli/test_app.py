from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import blockzoo
from blockzoo import cli
from blockzoo.cli.actions.choices import chosen_threads
from blockzoo.cli.actions.requests import chosen_on_oom
from blockzoo.cli.app import app
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.measure.machine import contention, devices
from blockzoo.measure.machine.devices import available_cores
from blockzoo.measure.timing import energy
from blockzoo.report.tables.measured import latency_table
from blockzoo.results.records import CostRecord
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import COLUMNS
from blockzoo.results.table.csv import read_results_csv
from blockzoo.results.table.latencies import load_latencies
from tests.analysis.test_ways import INT8, ONNX, timed
from tests.record_samples import latency

COMMANDS = [
    *("blocks", "check", "protocol", "profile", "benchmark", "marginal", "scaling", "roofline"),
    "train",
    *("sweep", "tune", "ranks", "specialisation", "front", "curves", "exported", "visualize"),
    *("site", "results", "doctor"),
]
TINY = ["--width", "4", "--depth", "1"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked_workers: None) -> Run:
    """Run a command in an empty folder; returns exit status, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke


@pytest.fixture
def spoiled(tiny_npz: Path, tmp_path: Path) -> Callable[..., str]:
    """Write the tiny data set with some arrays replaced, and return the file's path."""

    def write(**arrays: np.ndarray) -> str:
        with np.load(tiny_npz) as whole:
            np.savez(tmp_path / "spoiled.npz", **{**whole, **arrays})
        return str(tmp_path / "spoiled.npz")

    return write


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_with_examples_that_parse(command: str, run: Run) -> None:
    status, output, _ = run(command, "--help")
    assert status == 0
    examples = output.partition("Examples:")[2]
    assert f"blockzoo {command}" in examples


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom blockzoo.cli import main\nsys.argv = ['blockzoo', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([m for m in ('torch', 'pandas', 'sqlalchemy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert all(re.search(rf"\b{command}\b", done.stdout) for command in COMMANDS)


def test_the_version_is_shown_with_its_commit_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom blockzoo.cli import main\nsys.argv = ['blockzoo', '--version']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = ('torch', 'numpy', 'pandas', 'sqlalchemy', 'matplotlib')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, heavy = done.stdout.splitlines()
    assert re.fullmatch(r"blockzoo \d+\.\d+\.\d+( \(commit [0-9a-f]{40}(-dirty)?\))?", shown)
    assert heavy == "[]"


def test_the_help_of_no_command_imports_anything_heavy() -> None:
    """In one process for all of them: to start Python for each takes most of a minute."""
    code = (
        "import sys\nfrom blockzoo.cli import main\n"
        f"for command in {COMMANDS!r}:\n"
        "    sys.argv = ['blockzoo', command, '--help']\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code\n"
        "    heavy = ('torch', 'pandas', 'sqlalchemy', 'matplotlib')\n"
        "    print('HEAVY', command, [m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = [line for line in done.stdout.splitlines() if line.startswith("HEAVY")]
    assert found == [f"HEAVY {command} []" for command in COMMANDS]


@pytest.mark.parametrize(
    "arguments",
    [
        ["results", "results", "--time-to", "0.1"],
        ["visualize", "results", "-o", "plots"],
        ["sweep", "status"],
        ["site", "--out", "pages"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_only_reads_results_needs_no_torch(
    arguments: list[str], run: Run, tiny_npz: Path, tmp_path: Path
) -> None:
    assert run("train", "Identity", "--dataset", str(tiny_npz), *TINY, "--epochs", "1")[0] == 0
    code = (
        "import sys\nfrom blockzoo.cli import main\n"
        f"sys.argv = ['blockzoo', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    status = end.code\n"
        "print(status or 0, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


def test_profile_prints_exact_counts_and_writes_rows(run: Run, tmp_path: Path) -> None:
    status, output, _ = run(
        "profile", "ResNetBasicBlock", "--position", "mid", "--output", "costs.csv"
    )
    assert status == 0
    # blocks.csv: 820,992 parameters in the mid stage of ResNet's basic block.
    assert "820,992" in output
    (row, *_) = read_results_csv(tmp_path / "costs.csv")
    assert (row["block"], row["num_blocks"], row["base_channels"]) == (
        "ResNetBasicBlock",
        "3",
        "64",
    )
    assert int(row["flops"]) == 2 * int(row["macs_deploy"])


def test_profile_shows_and_keeps_the_peaks_of_real_processes(run: Run) -> None:
    status, output, _ = run("profile", "Identity", "-p", "mid", *TINY, "--measure-memory",
                            "--results", "kept")  # fmt: skip
    assert status == 0
    with Store("kept") as store:
        (record,) = store.records()
    assert isinstance(record, CostRecord)
    assert record.measured_inference_bytes is not None
    assert record.measured_training_bytes is not None
    assert min(record.measured_inference_bytes, record.measured_training_bytes) > 0
    assert record.measured_memory_device == "cpu"
    measured_mb = f"{record.measured_training_bytes / 1e6:,.1f}"
    assert re.search(rf"Identity\s+mid.*\s{re.escape(measured_mb)}\s", output)


def test_profile_names_what_is_not_among_the_macs(run: Run) -> None:
    """An involution in a quarter of the channels; windows of 7 x 7 on 16 x 16 places."""
    status, output, _ = run("profile", "RedNetInvolution", "-p", "mid", *TINY)
    assert status == 0
    assert f"Not among the MACs: aten.im2col (about {49 * 2 * 256:,})" in output


def test_profile_with_a_device_also_times(run: Run) -> None:
    status, output, _ = run(
        "profile", "Identity", "-p", "early", *TINY, "--device", "cpu", "--benchmark-runs", "3"
    )
    assert status == 0
    assert re.search(r"Identity\s+early.*baseline\s+3\b", output)


def test_benchmark_warns_of_neighbours_and_of_unreadable_energy(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ("make (7) at 90% of a core", "a", "b", "c", "d")
    monkeypatch.setattr(contention, "other_users", lambda device: others)
    monkeypatch.setattr(energy, "find_counter", lambda device: None)
    status, output, told = run(
        "benchmark", "Identity", "-p", "mid", *TINY, "--benchmark-runs", "3", "--warmup-runs", "1",
        "--input-shape", "1", "3", "8", "8", "--device", "cpu", "--energy",
    )  # fmt: skip
    assert status == 0
    warning, _, missing = told.splitlines()
    assert warning == (
        "warning: others use cpu, times will be less certain: make (7) at 90% of a core, a, b "
        "and 2 more"
    )
    assert missing.startswith("no energy was measured: it is for hot caches")
    assert "mJ/image" not in output


def test_energy_is_a_column_where_there_is_any(capsys: pytest.CaptureFixture[str]) -> None:
    timed = latency("A", median_ms=2.0)
    measured = timed.model_copy(update={"energy_j_per_image": 0.0123456})
    Console(width=200).print(latency_table([measured, timed]))
    _, header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[-1] == "mJ/image"
    assert (first.split()[-1], second.split()[-1]) == ("12.346", "-")


def test_benchmark_runs_as_many_rounds_as_asked(run: Run, tmp_path: Path) -> None:
    options = ["--benchmark-runs", "4", "--warmup-runs", "1", "--input-shape", "2", "3", "8", "8"]
    status, output, _ = run(
        "benchmark", "Identity", "InvertedResidual", "-p", "mid", *TINY, *options,
        "--device", "cpu", "--results", "kept",
    )  # fmt: skip
    assert status == 0
    assert "batch 2" in output
    with Store(tmp_path / "kept") as store:
        records = store.records(kind="latency")
    assert {record.block: len(record.samples_ms) for record in records} == {  # type: ignore[union-attr]
        "Identity": 4,
        "InvertedResidual": 4,
    }
    assert (tmp_path / "kept" / "results.csv").exists()


def test_train_keeps_its_record_and_its_notes(run: Run, tiny_npz: Path, tmp_path: Path) -> None:
    options = ["--epochs", "2", "--batch-size", "16", "--lr", "0.01", "--seeds", "2"]
    status, output, _ = run(
        "train", "Identity", "--position", "late", "--dataset", str(tiny_npz), *TINY, *options,
        "--experiment-name", "first", "--notes", "a, b", "--device", "cpu",
    )  # fmt: skip
    assert status == 0
    assert "test acc" in output
    rows = read_results_csv(tmp_path / "results" / "results.csv")
    assert list(rows[0]) == list(COLUMNS)
    assert [(r["seed"], r["epochs"], r["batch_size"], r["lr"]) for r in rows] == [
        ("0", "2", "16", "0.01"),
        ("1", "2", "16", "0.01"),
    ]
    assert {(r["experiment_name"], r["notes"], r["dataset"]) for r in rows} == {
        ("first", "a, b", "tiny")
    }


def test_sweep_then_results_then_visualize(run: Run, tiny_npz: Path, tmp_path: Path) -> None:
    options = [
        "--protocol",
        "quick",
        "--epochs",
        "1",
        "--latency-budget",
        "0.1",
        "--device",
        "cpu",
        "--dataset",
        str(tiny_npz),
    ]
    status, output, errors = run("sweep", "Identity", "InvertedResidual", *TINY, *options)
    assert status == 0
    assert "InvertedResidual" in output
    assert "21 trials to run, 0 already" in errors
    assert "cannot be found" not in output  # of two seeds that is not known
    compare, own, again = output.splitlines()[-3:]
    status, _, errors = run(*shlex.split(compare)[2:], "--dry-run")
    assert status == 0
    # Of ten seeds two of each of the two blocks are there, with their costs.
    assert "6 are there" in errors
    assert own.startswith("your own block: blockzoo sweep --quick ResNetBasicBlock ")
    assert again.endswith(": blockzoo results results; blockzoo visualize results")
    plots = sorted(path.name for path in (tmp_path / "results" / "plots").iterdir())
    assert len(plots) == 8
    assert {path.partition("_tiny")[0] for path in plots} == {
        "accuracy_vs_flops",
        "accuracy_vs_latency",
        "accuracy_vs_latency_ratio",
        "accuracy_vs_memory",
    }
    assert run("results")[1].count("InvertedResidual") == 3
    for name in ("all.csv", "all.parquet", "all.jsonl"):
        assert run("results", "--export", name)[0] == 0
        assert (tmp_path / name).stat().st_size > 0
    assert run("results", "copy", "--import", "all.jsonl")[0] == 0
    assert run("results", "copy")[1] == run("results")[1]
    assert run("visualize", "results/results.csv", "-o", "figures", "--format", "svg")[0] == 0
    assert len(list((tmp_path / "figures").iterdir())) == 4
    assert (tmp_path / "results" / "latencies.csv").is_file()


def test_a_store_of_latencies_alone_shows_exports_and_plots_them(run: Run, tmp_path: Path) -> None:
    with Store(tmp_path / "results", create=True) as store:
        store.put_all([latency("1"), latency("2", precision="int8", ratio=0.6)])
    status, output, _ = run("results")
    assert status == 0
    assert "0.600" in output
    assert "int8" in output
    assert run("results", "--latencies", "--export", "all.csv")[0] == 0
    assert len(load_latencies(tmp_path / "all.csv")) == 2
    assert run("visualize", "--format", "svg")[0] == 0
    assert (tmp_path / "results" / "plots" / "latency_B.svg").is_file()


def test_results_show_what_int8_gains_where_a_store_has_one_session(
    run: Run, tmp_path: Path
) -> None:
    with Store(tmp_path / "results", create=True) as store:
        store.put_all([ONNX, INT8, timed("openvino", 1.0, session="another")])
    _, output, _ = run("results", "--latencies")
    heads, row = output[output.index("Each way of running") :].splitlines()[1:3]
    assert heads.split()[:4] == ["block", "position", "run", "as"]
    assert row.split() == ["A", "mid", "int8", "fp32", "0.4000", "0.4000", "to", "0.4000", "faster"]
    assert run("results", "--latencies", "--export", "rows.csv")[0] == 0
    assert "Each way" not in run("results", "rows.csv", "--latencies")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("profile MobilOneBlock", "unknown block 'MobilOneBlock'; did you mean MobileOneBlock"),
        ("profile RepMixer -p middle", "unknown position 'middle'; did you mean mid?"),
        ("profile RepMixer --protocol v9", "unknown protocol 'v9'; did you mean v1?"),
        ("profile", "no block given"),
        ("profile RepMixer --width 0", "width is 0; it must be 1 or more"),
        ("profile RepMixer --depth -1", "depth is -1; it must be 1 or more"),
        ("profile RepMixer --classes 1", "classes is 1; it must be 2 or more"),
        ("profile RepMixer --batch-size 0", "--batch-size is 0; it must be 1 or more"),
        ("profile RepMixer --context Nothing", "unknown block 'Nothing'"),
        ("profile RepMixer --input-shape 1 1 32 32", "it must be (3, H, W)"),
        (
            "profile RepMixer --input-shape 2 3 32 32 --batch-size 4",
            "--batch-size 4 contradicts --input-shape, whose batch is 2",
        ),
        ("benchmark RepMixer --threads 0", "threads is 0; it must be 1 or more"),
        ("benchmark RepMixer --device tpu", "tpu"),
        ("benchmark RepMixer --baseline Nothing", "unknown block 'Nothing'"),
        ("train RepMixer --dataset cifar11", "unknown data set 'cifar11'; did you mean cifar10"),
        ("train RepMixer --dataset missing.npz", "missing.npz"),
        ("train RepMixer --dataset digits --epochs 0", "epochs is 0"),
        (
            "train RepMixer --dataset digits --lr -1",
            "--lr is -1; it must be above 0",
        ),
        ("train RepMixer --dataset digits --seed -1", "--seed is -1; it must be 0 or more"),
        ("train RepMixer --dataset digits --seed 4294967295 --seeds 2", "seed is 4294967296;"),
        ("train RepMixer --dataset digits --precision fp8", "unknown precision 'fp8'"),
        ("tune RepMixer --dataset digits --trials 0", "trials is 0; it must be 1 or more"),
        ("tune --dataset digits", "no block given"),
        ("visualize missing", "missing does not exist"),
        ("visualize results --format gif", "gif"),
        ("results --import nothing.jsonl", "nothing.jsonl"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: str, message: str, run: Run) -> None:
    status, _, errors = run(*arguments.split())
    assert status in (1, 2)
    assert message in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("command", ["benchmark", "train", "sweep", "tune"])
def test_cuda_that_is_not_there_is_refused(command: str, run: Run) -> None:
    status, _, errors = run(command, "Identity", "--device", "cuda", "-p", "mid")
    assert status == 2
    assert errors.startswith("error: ")
    assert "cpu" in errors


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("y_train", np.full(60, 3), "60 of 60 labels in y_train are outside 0..2"),
        ("x_train", np.zeros((60, 8, 8), complex), "complex"),
        ("x_train", np.zeros((60, 8, 8, 2), np.uint8), "(60, 8, 8, 2)"),
        ("x_test", np.full((30, 8, 8, 3), np.nan), "NaN"),
        ("x_test", np.zeros((30, 9, 9, 3), np.uint8), "(9, 9)"),
    ],
)
def test_bad_data_is_one_clear_line(
    name: str, array: np.ndarray, message: str, run: Run, spoiled: Callable[..., str]
) -> None:
    for command in ("train", "sweep"):
        path = spoiled(**{name: array})
        status, _, errors = run(command, "Identity", "-p", "mid", "--dataset", path)
        assert status == 2
        assert message in errors
        assert errors.count("\n") == 1


@pytest.mark.parametrize("block", ["GhostBottleneckV3", "classic/ResNetBottleneck"])
def test_a_width_that_a_block_cannot_divide_is_refused(block: str, run: Run) -> None:
    status, _, errors = run("train", block, "-p", "early", "--width", "5", "--dataset", "digits")
    assert status != 0
    _, failure = errors.splitlines()  # the first tells the data
    assert block in failure


def test_results_that_are_not_results_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shopping.csv").write_text("milk,eggs\n1,2\n")
    (tmp_path / "blockzoo.db").write_text("not a database, but long enough to look like one" * 40)
    for source in ("shopping.csv", "blockzoo.db"):
        status, _, errors = run("visualize", source)
        assert (status, errors.count("\n")) == (1, 1)
        assert source in errors


@pytest.mark.parametrize(
    "arguments",
    [
        "train Identity --dataset digits --results taken/deeper",
        "sweep Identity --dataset digits --results taken/deeper",
        "profile Identity --output taken/rows.csv",
        "visualize results.csv --output-dir taken/plots",
    ],
)
def test_a_folder_that_cannot_be_written_is_clear(
    arguments: str, run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    if "visualize" in arguments:
        run("train", "Identity", "--dataset", str(tiny_npz), *TINY, "--epochs", "1")
        arguments = arguments.replace("results.csv", "results/results.csv")
    status, _, errors = run(*arguments.split())
    assert status == 1
    assert "taken" in errors
    assert errors.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "a file"


DIVERGING = """
import torch
from torch import nn

class Grows(nn.Conv2d):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, 3, stride, 1)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        return super().forward(x) * (float("inf") if self.steps > 2 else 1.0)
"""


def test_a_training_that_fails_is_recorded_and_the_others_go_on(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    (tmp_path / "grows.py").write_text(DIVERGING)
    options = ["--dataset", str(tiny_npz), *TINY, "--epochs", "2", "--batch-size", "16"]
    status, output, errors = run("train", "grows.py:Grows", "Identity", *options)
    assert status == 1
    assert "failed: block grows.py:Grows (mid): the loss is nan in epoch 1, step " in errors
    assert "Traceback" not in errors
    with Store(tmp_path / "results") as store:
        kept = {(r.block, r.status): r for r in store.records(kind="training")}
    assert sorted(kept) == [("Identity", "ok"), ("grows.py:Grows", "failed")]
    failed = kept["grows.py:Grows", "failed"]
    assert (failed.reason or "").startswith("block grows.py:Grows (mid): the loss is nan")
    assert "DivergenceError" in (failed.traceback or "")
    assert re.search(r"grows.py:Grows +mid .* failed: block", output)


UNBUILDABLE = """
from torch import nn

class No(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.groups = in_channels / 0
"""


def test_a_block_that_cannot_be_built_is_recorded_and_the_others_go_on(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    (tmp_path / "no.py").write_text(UNBUILDABLE)
    options = ["--dataset", str(tiny_npz), *TINY, "--epochs", "1"]
    status, _, errors = run("train", "no.py:No", "Identity", *options)
    assert status == 1
    assert re.search(r"failed: block no.py:No cannot be built with .* \(no.py:7\)", errors)
    assert "Traceback" not in errors
    with Store(tmp_path / "results") as store:
        kept = sorted((r.kind, r.block, r.status) for r in store.records())
    assert kept == [
        ("cost", "Identity", "ok"),
        ("cost", "no.py:No", "failed"),
        ("training", "Identity", "ok"),
        ("training", "no.py:No", "failed"),
    ]


@pytest.mark.parametrize("command", ["train", "tune --trials 1 --seeds 1"])
def test_after_a_block_that_ends_its_device_nothing_else_is_blamed(
    command: str, run: Run, tmp_path: Path, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "works", lambda device: False)
    (tmp_path / "no.py").write_text(UNBUILDABLE)
    options = ["-p", "mid", "--dataset", str(tiny_npz), *TINY, "--epochs", "1", "--device", "cpu"]
    status, _, errors = run(*command.split(), "no.py:No", "Identity", *options)
    assert status == 1
    assert "error: cpu was lost by no.py:No (mid); what comes after it was not run" in errors
    with Store(tmp_path / "results") as store:
        assert {r.block for r in store.records()} <= {"no.py:No"}


BRACKETS = """
from torch import nn

class Tags(nn.Conv2d):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, 3, stride, 1)

    def forward(self, x):
        if self.training and len(x) > 2:
            raise ValueError("no [/tag] of [red] :key: dtype[torch.float32]")
        return super().forward(x)
"""


@pytest.mark.parametrize(
    "command",
    ["train", "tune --trials 1 --seeds 1", "sweep --seeds 1 --latency-budget 0.1 --no-plots"],
)
def test_what_looks_like_markup_is_shown_as_it_is(
    command: str, run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    (tmp_path / "tags.py").write_text(BRACKETS)
    options = ["-p", "mid", "--dataset", str(tiny_npz), *TINY, "--epochs", "1"]
    status, output, errors = run(*command.split(), "tags.py:Tags", *options)
    assert status == 1
    reason = "ValueError: no [/tag] of [red] :key: dtype[torch.float32] (tags.py:10)"
    assert reason in errors
    if command == "train":
        assert reason.replace(" ", "") in "".join(output.split())


UNCOUNTABLE = """
from torch import nn

class Pairs(nn.Conv2d):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, 3, stride, 1)

    def forward(self, x):
        if len(x) == 1:
            raise ValueError("one image is too few")
        return super().forward(x)
"""


def test_a_cost_that_cannot_be_had_is_told_of_after_its_training(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    (tmp_path / "pairs.py").write_text(UNCOUNTABLE)
    options = ["--dataset", str(tiny_npz), *TINY, "--epochs", "1", "--batch-size", "16"]
    status, output, errors = run("train", "pairs.py:Pairs", *options)
    assert status == 1
    expected = "failed: cost of pairs.py:Pairs (mid): ValueError: one image is too few"
    assert errors.splitlines()[1:] == [f"{expected} (pairs.py:10)"]
    assert re.search(r"pairs.py:Pairs +mid +tiny .* 0\.\d+ ", output)


def test_a_full_disk_is_clear_and_loses_nothing(run: Run, tiny_npz: Path, tmp_path: Path) -> None:
    train = ["train", "Identity", "--dataset", str(tiny_npz), *TINY, "--epochs", "1"]
    assert run(*train)[0] == 0
    store = tmp_path / "results" / "blockzoo.db"
    code = (
        "import resource, signal, sys\nfrom blockzoo.cli.app import app\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({store.stat().st_size},) * 2)\n"
        "from blockzoo.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *train, "--seed", "1", "--seeds", "9", "--notes", "x" * 9999],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        # Coverage of the child would be a second file that does not fit, and would say so.
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
    )
    assert done.returncode == 1
    _, line = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert any(name in line for name in ("blockzoo.db", "results.csv", ".ckpt cannot be written"))
    with Store(store) as opened:
        assert [record.status for record in opened.records()][:1] == ["ok"]


def test_the_early_entries_hand_over_to_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("profile", "benchmark", "train", "visualize"):
        monkeypatch.setattr(sys, "argv", [f"blockzoo-{verb}", "--help"])
        with pytest.raises(SystemExit) as end:
            getattr(cli, f"{verb}_main")()
        assert end.value.code == 0
        assert f"blockzoo {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        "-m blockzoo.profile Identity --position mid --num-blocks 2 --base-channels 8",
        "-m blockzoo.benchmark Identity --position mid --base-channels 4 --benchmark-runs 2 "
        "--quick",
        "-m blockzoo.train Identity --position mid --dataset digits --epochs 1 --base-channels 4",
    ],
)
def test_the_early_module_entries_work(command: str, tmp_path: Path) -> None:
    output = ["--output", "rows.csv"]
    done = subprocess.run(
        [sys.executable, *command.split(), *output], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (row,) = read_results_csv(tmp_path / "rows.csv")
    assert (row["block"], row["position"]) == ("Identity", "mid")


def test_the_script_of_the_early_version_sweeps_its_eleven_blocks(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent.parent / "scripts" / "bench_all.py"
    done = subprocess.run(
        [sys.executable, str(script), "--dataset", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "unknown data set 'nothing'" in done.stderr


def test_the_package_exports_what_it_says() -> None:
    assert sorted(blockzoo.__all__) == blockzoo.__all__
    for name in blockzoo.__all__:
        assert getattr(blockzoo, name) is not None
        assert name in dir(blockzoo)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = blockzoo.nothing_like_it


@pytest.mark.parametrize(
    ("command", "given", "expected"),
    [
        ("train", {}, "20000"),
        ("sweep", {}, "20000"),
        ("tune", {}, "20000"),
        ("benchmark", {}, None),
        ("train", {"GOMP_SPINCOUNT": "5"}, "5"),
        ("train", {"OMP_WAIT_POLICY": "ACTIVE"}, None),
    ],
)
def test_training_threads_wait_politely_unless_told_otherwise(
    command: str, given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, given.get(name, ""))
        if name not in given:
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["blockzoo", command, "--help"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_a_missing_package_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    status, _, error = run("train", "Identity", "--dataset", "hf:cifar10")
    assert status == 2
    assert error.count("\n") == 1
    assert "need the package datasets: pip install 'blockzoo[hf]'" in error


def test_skipped_images_are_counted_aloud(run: Run, tmp_path: Path) -> None:
    for place in ("train/a/0", "train/a/1", "train/b/0", "train/b/1", "test/a/0", "test/b/0"):
        path = tmp_path / "shapes" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), ord(place[-3])).save(path)
    (tmp_path / "shapes" / "train" / "a" / "2.png").write_text("no image")
    train = ("train", "Identity", "--dataset", "shapes", "--epochs", "1", *TINY)
    status, _, error = run(*train)
    assert (status, "2.png: cannot be read as an image" in error) == (2, True)
    status, _, error = run(*train, "--skip-bad-images")
    assert status == 0
    assert "skipped 1 bad images, first train/a/2.png" in error


@pytest.mark.parametrize("given", [["--compile", "cudagraphs"], ["--compile=cudagraphs"]])
def test_cuda_graphs_on_a_cpu_are_one_line(given: list[str], run: Run, tmp_path: Path) -> None:
    status, _, error = run("train", "Identity", "--device", "cpu", *given)
    assert (status, error) == (
        2,
        "error: --compile cudagraphs is for CUDA devices; this would train on cpu\n",
    )


def test_no_trainings_side_by_side_is_one_line(run: Run, tiny_npz: Path) -> None:
    status, _, error = run("sweep", "Identity", "--dataset", str(tiny_npz), "--side-by-side", "0")
    assert status == 2
    assert error == "error: --workers is 0; it must be 1 or more\n"


def test_what_to_do_without_memory_is_one_of_two() -> None:
    assert [chosen_on_oom(name) for name in ("split", "fail")] == ["split", "fail"]
    assert [chosen_threads(text) for text in ("3", "all")] == [3, available_cores()]
    with pytest.raises(InputError, match="threads is 'some'; give a whole number or all"):
        chosen_threads("some")
    with pytest.raises(UnknownNameError, match="unknown --on-oom 'halve'; allowed: split, fail"):
        chosen_on_oom("halve")


def test_ways_to_run_that_differ_have_columns_and_the_others_are_in_the_title(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = [latency(backend=name, threads=1, batch_size=8) for name in ("eager", "openvino")]
    Console(width=200).print(latency_table(records))
    title, heads, first, second = capsys.readouterr().out.splitlines()[:4]
    assert (
        title.strip()
        == "Latency in deploy form: batch 8, fp32, 1 thread(s), norms not folded, cpu, Some CPU"
    )
    assert heads.split()[:4] == ["block", "position", "backend", "median"]
    assert [line.split()[:4] for line in (first, second)] == [
        ["A", "mid", "eager", "5.000"],
        ["A", "mid", "openvino", "5.000"],
    ]
