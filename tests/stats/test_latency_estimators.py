"""The comparison of estimators on samples whose figures are known, and the published record's."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from blockzoo.results.store.database import Store
from blockzoo.stats.paired_rounds import NetworkSamples
from tests.record_samples import latency

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks/results"


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def _run(*samples_ns: float) -> dict[str, list[NetworkSamples]]:
    base = NetworkSamples(rounds=(0, 0, 0, 1, 2), samples_ns=(9.0, 11.0, 10.0, 10.0, 10.0))
    return {
        "base/early": [base],
        "own/early": [NetworkSamples(rounds=(0, 1, 2), samples_ns=samples_ns)],
    }


def test_spreads_of_known_samples() -> None:
    from latency_estimators import compare

    # The medians are 20, 22 and 30, the 0.1 quantiles 20, 20.4 and 22.
    spreads = compare([_run(20, 20, 20), _run(20, 22, 24), _run(20, 30, 40)])
    assert spreads["milliseconds, quantile 0.5"]["worst"] == pytest.approx(10 / 22)
    assert spreads["milliseconds, quantile 0.5"]["cells"]["base/early"] == 0
    assert spreads["ratio, median of rounds"]["worst"] == pytest.approx(10 / 22)
    assert spreads["ratio, median of rounds"]["worst_cell"] == "own/early"
    assert list(spreads["ratio, of quantiles 0.1"]["cells"]) == ["own/early"]
    assert spreads["ratio, of quantiles 0.1"]["worst"] == pytest.approx((22 - 20) / 20.4)


def test_how_far_known_processes_lie_apart() -> None:
    from latency_estimators import between_processes

    assert between_processes([_run(20, 24, 28)]) == {}  # of one process
    run = {
        network: one + other
        for (network, one), other in zip(
            _run(20, 24, 28).items(), _run(30, 22, 26).values(), strict=True
        )
    }
    (found,) = between_processes([run]).values()
    # The medians are 2.4 and 2.6; both intervals are 0.8 wide; neighbours go up, down and up.
    assert found["processes"] == pytest.approx(0.1 * 2**0.5 / 2.5)
    assert found["rounds_alone"] == pytest.approx(0.8 / 3.92 / 2.5)
    assert found["correlation"] == pytest.approx(0)


def test_samples_survive_being_saved(tmp_path: Path) -> None:
    from latency_estimators import read_samples, save_samples

    runs = [_run(16, 32, 64), _run(4, 2, 8)]
    runs[1]["own/early"] *= 2  # a second process
    save_samples(tmp_path / "samples.npz", {"cores": 2}, runs)
    environment, read = read_samples(tmp_path / "samples.npz")
    assert environment == {"cores": 2}
    assert [list(run) for run in read] == [list(run) for run in runs]
    assert [len(run["own/early"]) for run in read] == [1, 2]
    for ours, theirs in zip(runs[1]["own/early"], read[1]["own/early"], strict=True):
        assert theirs.rounds == ours.rounds
        assert theirs.samples_ns == pytest.approx(ours.samples_ns)


def test_kept_runs_are_read_by_process(tmp_path: Path) -> None:
    from latency_estimators import read_samples

    record = latency(
        samples_ms=(1.0, 2.0, 3.0), process_counts=(2, 1), rounds=(0, 1, 0), block="RepMixer"
    )
    with Store(tmp_path / "run0", create=True) as store:
        store.put(record)
    environment, (run,) = read_samples(tmp_path)
    (processes,) = run.values()
    assert environment == record.environment.model_dump()
    assert [process.rounds for process in processes] == [(0, 1), (0,)]
    assert [process.samples_ns for process in processes] == [(1e6, 2e6), (3e6,)]


def test_what_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    from latency_estimators import read_samples

    with pytest.raises(SystemExit, match="lacks runs"):
        read_samples(tmp_path)
    with pytest.raises(SystemExit, match="is not there"):
        read_samples(tmp_path / "none.npz")


@pytest.mark.parametrize("which", ["", "_twenty"])
def test_the_published_spreads_are_those_of_the_published_samples(which: str) -> None:
    from latency_estimators import between_processes, compare, read_samples

    environment, runs = read_samples(RESULTS / f"latency_samples{which}.npz")
    record = json.loads((RESULTS / f"latency_estimators{which}.json").read_text())
    assert record["environment"] == environment
    assert record["runs"] == len(runs) == 5
    for figure, spread in compare(runs).items():
        assert record["spreads"][figure]["cells"] == pytest.approx(spread["cells"], rel=1e-4)
    for network, apart in between_processes(runs).items():
        assert record["processes"][network] == pytest.approx(apart, rel=1e-4, abs=1e-6)


def test_the_page_says_what_the_records_say() -> None:
    text = (ROOT / "docs/measurements/latency-repeatability.md").read_text()
    page = " ".join(text.split())  # however lines are broken
    found = json.loads((RESULTS / "latency_estimators.json").read_text())["spreads"]
    for q in (0.25, 0.1, 0.05):
        times, ratios = found[f"milliseconds, quantile {q}"], found[f"ratio, of quantiles {q}"]
        shown = [f"{s[which]:.1%}" for s in (times, ratios) for which in ("median", "worst")]
        assert f"| the {q} quantile | {' | '.join(shown)} |" in page
    twenty = json.loads((RESULTS / "latency_estimators_twenty.json").read_text())
    apart = twenty["processes"]["DYMicroBlock/early"]
    told = f"a standard deviation of {apart['processes']:.1%}, where their rounds alone would"
    assert f"{told} make it {apart['rounds_alone']:.1%}" in page
    assert round(abs(apart["correlation"]), 1) == 0.0  # as the page says
    worst = [twenty["spreads"][f"ratio, of quantiles {q}"]["worst"] for q in (0.05, 0.1, 0.25)]
    assert f"their worst ones are {min(worst):.1%} to {max(worst):.1%}" in page


@pytest.mark.parametrize(
    ("which", "name", "told"),
    [
        (
            "",
            "`blockzoo benchmark --rigorous`, {took}",
            "of the naive means after it {ratio} of 30 and {ms} of 31",
        ),
        (
            "_again",
            "`--rigorous` again, {took}, other programs on the second core",
            "of the naive means after that {ratio} of 30 and {ms} of 31",
        ),
    ],
)
def test_the_page_has_the_spreads_of_rigorous_and_of_naive_means(
    which: str, name: str, told: str
) -> None:
    page = (ROOT / "docs/measurements/latency-repeatability.md").read_text()
    record = json.loads((RESULTS / f"latency_repeatability_twenty{which}.json").read_text())
    walls = [run["wall_s"] for run in record["runs"]]
    assert record["settings"]["processes"] == 20
    assert len(walls) == 5
    took = f"{min(walls):.0f} to {max(walls):.0f} s a run"
    names = {
        "blockzoo": name.format(took=took),
        "naive": "mean of 100 calls, five times after it",
    }
    within: dict[str, dict[str, int]] = {}
    for method, name in names.items():
        networks = record["summary"][method]
        shown = []
        for figure, bound in (("ms", 0.05), ("ratio", 0.02)):
            spreads = [
                network[figure]["spread"]
                for label, network in networks.items()
                if (figure, label) != ("ratio", "ResNetBasicBlock/early")
            ]
            shown += [f"{median(spreads):.1%}", f"{max(spreads):.1%}"]
            within.setdefault(method, {})[figure] = sum(spread <= bound for spread in spreads)
        assert f"| {name} | {' | '.join(shown)} |" in page
    assert within["blockzoo"] == {"ms": 31, "ratio": 30}
    assert told.format(**within["naive"]) in page


def test_the_page_says_how_often_networks_drifted() -> None:
    page = (ROOT / "docs/measurements/latency-repeatability.md").read_text()
    drifts = {}
    for which in ("", "_again"):
        record = json.loads((RESULTS / f"latency_repeatability_twenty{which}.json").read_text())
        flagged = [run["flags"]["drift"] for run in record["runs"]]
        drifts[which] = f"{min(flagged)} to {max(flagged)}"
    assert f"{drifts['']} in the first row and {drifts['_again']} in the third" in page
