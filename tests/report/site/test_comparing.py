"""What the page that sets blocks side by side holds: the numbers and verdicts of the analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blockzoo.report.site.build import build_site
from blockzoo.report.site.comparing import MOST_POINTS
from blockzoo.results.records import EpochMetrics
from tests.record_samples import training
from tests.report.site.boards import ordinary, put
from tests.report.site.test_build import data_of


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("site")
    with put(ordinary(), tmp_path_factory.mktemp("store")) as store:
        build_site(store, folder)
    return data_of(folder / "compare.html")


def test_an_entry_has_the_numbers_of_its_block(data: dict[str, Any]) -> None:
    assert data["groups"] == ["digits · quick", "digits · v1"]
    (entry,) = (
        each
        for each in data["entries"]
        if (each["group"], each["block"], each["position"]) == ("digits · quick", "RepMixer", "mid")
    )
    assert entry["accuracy"] == pytest.approx(0.68375)
    assert (entry["seeds"], entry["failed"]) == (4, 1)
    assert (entry["stage_macs"], entry["stage_params"]) == (20_000, 400)
    assert [(each["ratio"], each["verdict"]) for each in entry["latencies"]] == [(1.2, "faster")]
    assert [point[:2] for point in entry["curve"]] == [[1, 34.0], [2, 61.2], [3, 68.0]]


def test_pairs_are_the_family_and_what_is_exploratory(data: dict[str, Any]) -> None:
    pairs = [each for each in data["pairs"] if each["position"] == "mid"]
    family = [each for each in pairs if not each["exploratory"]]
    assert {each["block"] for each in family} == {"MobileOneBlock", "RepMixer", "RepVGGBlock"}
    assert {each["other"] for each in family} == {"ResNetBasicBlock"}
    assert {each["comparisons"] for each in family} == {3}
    (worse,) = (each for each in family if each["block"] == "RepMixer")
    assert (worse["verdict"], worse["mean"]) == ("worse", pytest.approx(-0.1))
    rest = [each for each in pairs if each["exploratory"]]
    assert len(rest) == 3
    assert {each["comparisons"] for each in rest} == {6}


def test_long_curves_are_thinned_and_keep_their_end(tmp_path: Path) -> None:
    epochs = tuple(
        EpochMetrics(
            epoch=number,
            learning_rate=0.1,
            train_loss=1.0,
            train_accuracy=0.5,
            val_loss=1.0,
            val_accuracy=number / 1000,
            seconds=1.0,
        )
        for number in range(1, 201)
    )
    with put([training("t", "RepMixer", epochs=epochs)], tmp_path / "store") as store:
        build_site(store, tmp_path / "site")
    (entry,) = data_of(tmp_path / "site/compare.html")["entries"]
    assert len(entry["curve"]) <= MOST_POINTS + 1
    assert entry["curve"][0][:2] == [1, 0.1]
    assert entry["curve"][-1][:2] == [200, 20.0]
