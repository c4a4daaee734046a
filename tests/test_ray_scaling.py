"""The model of a sweep on many nodes: by hand, and what its page says of a record."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.record_samples import ENVIRONMENT

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def test_workers_wait_for_the_driver_and_for_nothing_else() -> None:
    from cluster_model import Cluster

    free = Cluster(startup_s=3, driver_s=0, round_trip_s=0.5)
    # Four trials of 2.5 s on two workers, after the start.
    assert free.wall_s([2, 2, 2, 2], 2) == 3 + 2 * 2.5
    busy = Cluster(startup_s=0, driver_s=1, round_trip_s=0)
    # The driver hands one out each second; the eighth worker starts at 8 and takes 2.
    assert busy.wall_s([2] * 8, 8) == 10
    assert busy.efficiency([2] * 8, 8) == 16 / 80
    # Asked at 0, 3, 6, ...: the driver is never asked by two.
    assert busy.wall_s([2] * 8, 1) == 24
    assert busy.efficiency([2] * 8, 1) == pytest.approx(2 / 3)


def test_the_knee_is_where_the_driver_falls_behind() -> None:
    from cluster_model import Cluster

    model = Cluster(startup_s=0, driver_s=0.1, round_trip_s=0)
    # Ten trials a second: about a hundred workers of trials of 10 s, of which 80% is used.
    assert model.knee([10.0] * 4000, [1, 8, 64, 512]) == 64
    assert model.knee([0.1] * 4000, [1, 8, 64]) == 0


def test_the_model_of_both_ways_with_one_worker_foretells_them() -> None:
    from ray_scaling import Way, fitted, foretold_s

    here = Way(executor="in-process", workers=1, startup_s=0, wall_s=44, trials_s=(1.0,) * 40)
    one = Way(executor="ray", workers=1, startup_s=9, wall_s=48, trials_s=(1.0,) * 40)
    two = Way(executor="ray", workers=2, startup_s=9, wall_s=25, trials_s=(1.0,) * 40)
    model = fitted(here, one)
    assert model.startup_s == 9
    assert model.driver_s == pytest.approx(0.1)
    assert model.round_trip_s == pytest.approx(0.1)
    assert foretold_s(model, one) == pytest.approx(48)
    assert foretold_s(model, two) == pytest.approx(24.1)


def test_the_page_says_what_the_record_says_before_and_after_it_is_a_file() -> None:
    from ray_scaling import Way, fitted, foretold_s, page, simulated

    ways = [
        Way(executor="in-process", workers=1, startup_s=0, wall_s=44, trials_s=(1.0,) * 40),
        Way(executor="ray", workers=1, startup_s=9, wall_s=48, trials_s=(1.0,) * 40),
        Way(executor="ray", workers=2, startup_s=9, wall_s=25, trials_s=(1.0,) * 40),
    ]
    model = fitted(*ways[:2])
    record = {
        "ways": [asdict(way) for way in ways],
        "model": asdict(model),
        "foretold_s": {str(way.workers): foretold_s(model, way) for way in ways[1:]},
        "simulated": simulated(model, [1.0]),
        "environment": {
            **ENVIRONMENT.model_dump(mode="json"),
            "processor": "a CPU",
            "commit": "abc",
        },
    }
    text = page(record)
    assert page(json.loads(json.dumps(record))) == text
    assert "| ray | 2 | 9.0 | 25.0 | 24.1 (-4%) |" in text
    assert "n = 1, a CPU" in text
    assert "can hand out 10 trials a second" in text
    # Trainings of a minute keep 64 nodes busy, those of a second eight.
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert rows["| 60"].endswith("| 64 |")
    assert rows["| 1"].endswith("| 8 |")
