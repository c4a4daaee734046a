"""How much time `blockzoo benchmark` spends: `--quick`, `--rigorous`, `--processes`, `--budget`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from blockzoo.cli.actions import timing
from blockzoo.cli.app import app
from blockzoo.core.errors import InputError
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.table.latencies import load_latencies
from blockzoo.scaffold.net import ScaffoldConfig
from tests.record_samples import latency


@pytest.mark.parametrize(
    ("options", "processes", "budget_s"),
    [
        ([], 3, 6.0),
        (["--quick"], 1, 6.0),
        (["--rigorous"], 20, 10.0),
        (["--rigorous", "--budget", "7"], 20, 7.0),
        (["--processes", "5", "--budget", "0.5"], 5, 0.5),
    ],
)
def test_processes_and_budget(
    options: list[str], processes: int, budget_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[LatencySettings] = []

    def timed(
        names: object,
        where: object,
        config: ScaffoldConfig,
        settings: LatencySettings,
        *_: object,
        **__: object,
    ) -> list[object]:
        asked.append(settings)
        return []

    monkeypatch.setattr(timing, "timed", timed)
    result = CliRunner().invoke(app, ["benchmark", "Identity", "--device", "cpu", *options])
    assert result.exit_code == 0
    assert [(s.processes, s.budget_s) for s in asked] == [(processes, budget_s)]


@pytest.mark.parametrize(
    ("options", "forms"),
    [
        ([], ["folded"]),
        (["--form", "deploy"], ["deploy"]),
        (["--form", "folded", "--form", "deploy"], ["folded", "deploy"]),
    ],
)
def test_forms(options: list[str], forms: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def timed(*given: object, **_: object) -> list[object]:
        ways = given[-2]
        assert isinstance(ways, tuple)
        asked.extend(way.form for way in ways)
        return []

    monkeypatch.setattr(timing, "timed", timed)
    result = CliRunner().invoke(app, ["benchmark", "Identity", "--device", "cpu", *options])
    assert result.exit_code == 0
    assert asked == forms


def test_an_unknown_form_is_one_line() -> None:
    result = CliRunner().invoke(app, ["benchmark", "Identity", "--device", "cpu", "--form", "x"])
    assert result.exit_code != 0
    assert isinstance(result.exception, InputError | SystemExit)


def test_why_verdicts_are_undecided_is_said_once_for_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reasons = ["1 process; a verdict needs 3", "", "1 process; a verdict needs 3"]
    timing._say_why_undecided([latency(str(i), verdict_reason=r) for i, r in enumerate(reasons)])
    assert capsys.readouterr().err == "undecided (2): 1 process; a verdict needs 3\n"


def test_int8_against_fp32_with_files_and_memory(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    small = ["--width", "8", "--depth", "1", "--input-shape", "1", "3", "8", "8"]
    done = CliRunner().invoke(
        app,
        [
            *("benchmark", "ConvBNAct", "-p", "mid", "--device", "cpu", "--memory", *small),
            *("--backend", "eager", "--backend", "onnxruntime"),
            *("--precision", "fp32", "--precision", "int8"),
            *("--processes", "0", "--budget", "0.05", "--results", str(tmp_path)),
        ],
    )
    assert done.exit_code == 0
    assert "left out: eager in int8" in done.stderr
    ways = done.stdout[done.stdout.index("Each way of running") :]
    assert [" ".join(line.split()[2:6]) for line in ways.splitlines()[2:5]] == [
        "fp32, onnxruntime fp32, eager",
        "int8, onnxruntime fp32, onnxruntime",
        "int8, onnxruntime fp32, eager",
    ]
    frame = load_latencies(tmp_path)
    exported = frame[frame.latency_backend == "onnxruntime"]
    assert exported.exported_bytes.gt(0).tolist() == [True, True]
    assert frame[frame.latency_backend == "eager"].exported_bytes.isna().all()
    assert frame.process_memory_mb.notna().sum() == 3
    assert {"file", "memory", "MB"} <= {*done.stdout.split()}


def test_a_plot_has_every_ratio_and_a_wrong_name_is_refused_before_anything_is_timed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = latency("b", "Base", baseline="Base", ratio=1.0, verdict="baseline", session="s")
    records = [base, latency("m", "Mine", baseline="Base", session="s")]
    monkeypatch.setattr(timing, "timed", lambda *_, **__: records)
    plot = tmp_path / "latencies.png"
    arguments = ["benchmark", "ConvBNAct", "-p", "mid", "--plot"]
    done = CliRunner().invoke(app, [*arguments, str(plot)])
    assert (done.exit_code, plot.stat().st_size > 10_000) == (0, True)
    monkeypatch.setattr(timing, "timed", lambda *_, **__: [latency(ratio=None, baseline=None)])
    nothing = CliRunner().invoke(app, [*arguments, str(tmp_path / "none.svg")])
    assert "nothing to draw" in nothing.stderr
    monkeypatch.setattr(timing, "timed", None)
    wrong = CliRunner().invoke(app, [*arguments, "latencies.pdf"])
    assert wrong.exit_code == 2
    assert "pdf" in wrong.stderr
