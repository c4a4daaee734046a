"""What is published of `lite`: the figures of its trainings, and the page that they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blockzoo.results.records import EpochMetrics
from blockzoo.results.store.database import Store
from blockzoo.stats.ranks import corrected_for_noise, rank_agreement, reliability
from tests.record_samples import training

ROOT = Path(__file__).parent.parent
BLOCKS = "ABCDEFGH"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import lite_choice

    return lite_choice


def side(label: str, epochs: int, accuracy: Any, seeds: range) -> dict[str, Any]:
    figures = {
        block: {str(seed): accuracy(index, seed) for seed in seeds}
        for index, block in enumerate(BLOCKS)
    }
    seconds = {block: dict.fromkeys(of_block, 30.0) for block, of_block in figures.items()}
    losses = {b: {s: 10 - value for s, value in of.items()} for b, of in figures.items()}
    return {
        "label": label,
        "epochs": epochs,
        "failed": [],
        "test_accuracy": figures,
        "sum_of_train_losses": losses,
        "training_seconds": seconds,
    }


@pytest.fixture
def record() -> dict[str, Any]:
    """Eight blocks; the longer side puts the first two the other way round."""
    moved = [1, 0, 2, 3, 4, 5, 6, 7]
    return {
        "made": "2026-11-30T12:00:00+00:00",
        "position": "mid",
        "datasets": [["images", "abcd"]],
        "environment": {"torch": "2.14.1", "python": "3.11"},
        "commits": ["abc123"],
        "processors": ["Some CPU"],
        "short": side("lite", 3, lambda i, s: 0.2 + 0.01 * i + 0.004 * (-1) ** (s + i), range(4)),
        "long": side("lite~1", 15, lambda i, s: 0.4 + 0.01 * moved[i], range(100, 103)),
    }


def test_the_page_says_what_the_record_says(scripts: Any, record: dict[str, Any]) -> None:
    from lite_choice_page import agreement_of, lite_choice_page

    page = lite_choice_page(record)
    observed, corrected = agreement_of(record)
    # One of 28 pairs is turned round.
    assert observed == rank_agreement([*range(8)], [1, 0, *range(2, 8)])
    assert observed.tau == pytest.approx(26 / 28)
    assert corrected is not None
    assert observed.tau < corrected.tau <= 1
    assert "| lite against lite~1 | tau | 95% interval | n |" in page
    assert f"| as observed | {observed.tau:.2f} | " in page
    assert f"| corrected for the seeds | {corrected.tau:.2f} | " in page
    assert "| by the sum of training losses | 0.93 | " in page
    # The best by the longer training is first; its seeds differ by 0.8 points from one another.
    first = next(line for line in page.splitlines() if line.startswith("| `"))
    assert first == "| `H` | 27.0 (26.3 to 27.7) | 0.46 | 47.0 (47.0 to 47.0) | 0.00 | 9.730 | 30 |"
    assert "n = 4 and 3 seeds" in page
    assert "Some CPU" in page
    assert "commit abc123" in page


def test_blocks_that_lack_a_seed_are_not_ranked(scripts: Any, record: dict[str, Any]) -> None:
    from lite_choice_page import compared, lite_choice_page

    del record["long"]["test_accuracy"]["B"]["101"]
    record["short"]["failed"] = ["C"]
    record["short"]["test_accuracy"]["C"] = {}
    assert compared(record) == [*"ADEFGH"]
    page = lite_choice_page(record)
    assert "| 6 blocks |" in page
    assert "Failed by lite: C." in page
    for block in "ADEFGH":
        del record["short"]["test_accuracy"][block]
    assert "so nothing is ranked" in lite_choice_page(record)


def test_figures_are_those_of_the_trainings(scripts: Any, tmp_path: Path) -> None:
    options = scripts.parse([str(tmp_path), "--blocks", *("Identity",) * 8, "--dataset", "digits"])
    sides = scripts.protocols(options)
    short, long = sides["short"].label, sides["long"].label
    assert (short, long.startswith("lite~")) == ("lite", True)
    assert sides["long"].recipe.epochs == 5 * sides["short"].recipe.epochs
    assert not {*sides["short"].seeds} & {*sides["long"].seeds}
    epoch = training().epochs[0]
    curve = tuple(epoch.model_copy(update={"epoch": n, "train_loss": 3.0 / n}) for n in (1, 2))
    assert all(isinstance(each, EpochMetrics) for each in curve)
    made = {"block": "Identity", "epochs": curve, "protocol": short}
    with Store(tmp_path, create=True) as store:
        store.put_all(
            [
                training("1", **made, test_accuracy=0.25),
                training("2", **made, seed=1, test_accuracy=0.5),
                training("3", **made | {"positions": ("late",)}),
                training("4", **made, seed=99),
                training("5", **made | {"protocol": long}, seed=100, test_accuracy=0.75),
                training("6", **made | {"protocol": "quick"}),
            ]
        )
    found = scripts.summarised(sides, scripts.trained_in([tmp_path, tmp_path]), options)
    assert found["short"]["test_accuracy"] == {"Identity": {"0": 0.25, "1": 0.5}}
    assert found["short"]["sum_of_train_losses"] == {"Identity": {"0": 4.5, "1": 4.5}}
    assert found["long"]["test_accuracy"] == {"Identity": {"100": 0.75}}
    assert json.loads(json.dumps(found))["processors"] == ["Some CPU"]


def test_too_few_blocks_or_seeds_are_one_line(
    scripts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["--blocks", "Identity"], "1 blocks; a rank agreement needs 8 or more"),
        (["--seeds", "1"], "--seeds, --long-seeds and --times must be 2 or more"),
    ):
        with pytest.raises(SystemExit, match="2"):
            scripts.parse([str(tmp_path), *words])
        assert message in capsys.readouterr().err


def test_the_published_page_is_that_of_the_published_record(scripts: Any) -> None:
    from lite_choice_page import lite_choice_page

    record, page = (
        ROOT / "benchmarks/results/lite_choice.json",
        ROOT / "docs/measurements" / "lite.md",
    )
    assert record.exists() == page.exists()
    if record.exists():
        assert lite_choice_page(json.loads(record.read_text())) == page.read_text()


def test_the_correction_uses_both_reliabilities() -> None:
    observed = rank_agreement([*range(8)], [1, 0, *range(2, 8)])
    values = [[1.0, 2.0, 3.0], [2.0, 4.0, 3.0], [5.0, 6.0, 8.0]]
    assert corrected_for_noise(observed, reliability(values), 0.0) is None


@pytest.mark.slow
def test_it_trains_what_is_missing_and_goes_on(
    scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = ["Identity", "ConvBNAct", "RepVGG", "ResNetBasicBlock", "InvertedResidual"]
    blocks += ["EdgeResidual", "RepMixer", "ResNetBottleneck"]
    words = [str(tmp_path / "store"), "--protocol", "quick2", "--seeds", "2", "--long-seeds", "2"]
    words += ["--times", "2", "--blocks", *blocks, "--output", str(tmp_path / "record.json")]
    monkeypatch.setattr("sys.argv", ["lite_choice.py", *words])
    scripts.main()
    record = json.loads((tmp_path / "record.json").read_text())
    assert [len(of["test_accuracy"]) for of in (record["short"], record["long"])] == [8, 8]
    monkeypatch.setattr("sys.argv", ["lite_choice.py", *words, "--no-run"])
    scripts.main()
    again = json.loads((tmp_path / "record.json").read_text())
    assert again["short"] == record["short"]
