"""The kit for a few minutes of a GPU: its steps, what it leaves, and going on from there."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from blockzoo.core.errors import InputError
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import read_bundle
from tests.record_samples import latency, training

ROOT = Path(__file__).parent.parent


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu_kit

    return gpu_kit


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_the_steps_are_said_and_nothing_runs(
    kit: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit.main([str(tmp_path / "out"), "--dry-run", "--data-dir", "data"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.partition(" (")[0] for line in lines]
    assert names[:3] == ["gpu tests", "timings mid", "training mid, 1 seed"]
    assert names[6] == "training early mid late, 10 seeds"
    assert "--backend eager --backend cudagraphs --cache hot --cache cold" in lines[1]
    assert (
        "--protocol v1 --device cuda --seeds 1 --dataset cifar100-q95 --data-dir data" in lines[2]
    )
    assert not (tmp_path / "out").exists()


def test_every_command_is_one_that_blockzoo_has(kit: Any) -> None:
    from typer.testing import CliRunner

    from blockzoo.cli.app import app

    for scale in (kit.on_a_gpu(2), kit.rehearsal()):
        for step in kit.steps(scale, Path("store"), Path("data")):
            if step.command[2] == "blockzoo":
                # Options are parsed before help is shown.
                asked = CliRunner().invoke(app, [*step.command[3:], "--help"])
                assert asked.exit_code == 0, asked.output


def test_what_ended_well_is_not_run_again(kit: Any, tmp_path: Path) -> None:
    out, store = tmp_path / "out", tmp_path / "store"
    out.mkdir()
    count = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"
    steps = [
        kit.Step(name="once", command=python(count)),
        kit.Step(name="fails", command=python(f"{count}; raise SystemExit(3)")),
    ]
    assert not kit.run(steps, out, store, end_s=time.monotonic() + 60)
    state = json.loads((out / "kit.json").read_text())
    assert {name: each["status"] for name, each in state.items()} == {"once": 0, "fails": 3}
    kit.run(steps, out, store, end_s=time.monotonic() + 60)
    assert (tmp_path / "ran").read_text() == "xxx"
    kit.run(steps, out, store, end_s=time.monotonic())  # the time is over
    assert (tmp_path / "ran").read_text() == "xxx"


def test_a_step_is_stopped_and_what_it_left_is_kept(kit: Any, tmp_path: Path) -> None:
    out, store = tmp_path / "out", tmp_path / "store"
    out.mkdir()
    with Store(store, create=True) as kept:
        kept.put_all([training()])
    step = kit.Step(name="long", command=python("import time; time.sleep(60)"), most_s=0.3)
    assert not kit.run([step], out, store, end_s=time.monotonic() + 60)
    assert json.loads((out / "kit.json").read_text())["long"]["status"] is None
    with Store(tmp_path / "other", create=True) as other:
        assert read_bundle(out / "part.bundle.zip", other).new == 1


def test_another_machine_goes_on(kit: Any, tmp_path: Path) -> None:
    earlier, out = tmp_path / "earlier", tmp_path / "out"
    earlier.mkdir()
    with Store(tmp_path / "first", create=True) as kept:
        kept.put_all([training(), latency()])
    kit.write_bundles(tmp_path / "first", earlier)
    (earlier / "kit.json").write_text('{"gpu tests": {"status": 0, "seconds": 1.0}}')
    out.mkdir()
    kit.take_in([earlier], out, tmp_path / "second")
    with Store(tmp_path / "second", create=False) as kept:
        assert {record.trial_id for record in kept.records()} == {"training", "latency"}
    assert json.loads((out / "kit.json").read_text())["gpu tests"]["status"] == 0
    with pytest.raises(InputError, match="nowhere is no folder"):
        kit.take_in([Path("nowhere")], out, tmp_path / "second")


def test_bundles_are_small_enough_and_hold_all(kit: Any, tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    out.mkdir()
    with Store(store, create=True) as kept:
        kept.put_all([training(f"t{n}", seed=n) for n in range(8)])
    (whole,) = kit.write_bundles(store, out)
    parts = kit.write_bundles(store, out, most_bytes=whole.stat().st_size - 1)
    assert len(parts) == 2
    assert sorted(out.glob("*.zip")) == sorted(parts)
    with Store(tmp_path / "again", create=True) as again:
        assert sum(read_bundle(part, again).new for part in parts) == 8


@pytest.mark.slow
def test_a_rehearsal_on_the_cpu(kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert kit.main([str(tmp_path / "out"), "--rehearse", "--minutes", "8"]) == 0
    state = json.loads((tmp_path / "out" / "kit.json").read_text())
    assert [each["status"] for each in state.values()] == [0, 0, 0]
    with Store(tmp_path / "again", create=True) as again:
        assert read_bundle(tmp_path / "out" / "part.bundle.zip", again).new == 4
