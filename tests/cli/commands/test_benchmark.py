"""How much time `blockzoo benchmark` spends: `--quick`, `--rigorous`, `--processes`, `--budget`."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from blockzoo.cli.actions import timing
from blockzoo.cli.app import app
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.scaffold.net import ScaffoldConfig


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
