"""The page of one comparison: its values, hostile names, and that it needs no other file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from blockzoo.analysis.compare import Comparison, compare_records
from blockzoo.core.position import Position
from blockzoo.report.site.comparison_report import Compared, comparison_report
from blockzoo.report.site.differences import differences_drawing
from blockzoo.results.records import Record, TrainingRecord
from tests.record_samples import latency
from tests.report.site.boards import HOSTILE, trained
from tests.report.site.test_build import Elements

CONTEXT = "ResNetBasicBlock"


def compared(records: list[Record], block: str, track: str = "") -> Compared:
    found = compare_records(records, block, [CONTEXT], [Position.MID])
    return Compared(pairs=tuple(found), margin=0.003, level=0.05, track=track)


def page_of(records: list[Record], *blocks: str) -> str:
    trainings = [each for each in records if isinstance(each, TrainingRecord)]
    return comparison_report([compared(records, block) for block in blocks], trainings)


def ordinary() -> list[Record]:
    made: list[Record] = [*trained("RepMixer", "mid", 0.7), *trained(CONTEXT, "mid", 0.8)]
    ratio: dict[str, Any] = {
        "ratio": 1.4,
        "ratio_interval": (1.39, 1.41),
        "baseline": CONTEXT,
        "session": "S",
    }
    made.append(latency("l1", "RepMixer", **ratio, verdict="slower"))
    return made


def test_it_says_what_was_found_and_how_it_was_measured() -> None:
    page = page_of(ordinary(), "RepMixer")
    for expected in (
        f"RepMixer against {CONTEXT}",
        "RepMixer at mid is 10.00 points worse than ResNetBasicBlock",
        "digits · quick",
        "Validation accuracy by epoch, RepMixer at mid",
        "Environment 1",
        'class="drawing forest"',
        "<dt>learning_rate</dt>",
    ):
        assert expected in page, expected


def test_trainings_that_were_not_compared_are_in_no_curve_and_no_environment() -> None:
    others = [*ordinary(), *trained("RepMixer", "mid", 0.1, protocol="v1")]
    assert page_of([*ordinary(), *trained("MobileOneBlock", "mid", 0.9)], "RepMixer") == page_of(
        ordinary(), "RepMixer"
    )
    kept = [each for each in others if isinstance(each, TrainingRecord)]
    assert comparison_report([compared(ordinary(), "RepMixer")], kept) == page_of(
        ordinary(), "RepMixer"
    )


def test_tracks_have_sections_of_their_own() -> None:
    tracks = [compared(ordinary(), "RepMixer", track) for track in ("same MACs", "same <latency>")]
    page = comparison_report(tracks, [])
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles[:2] == ["same MACs", "same &lt;latency&gt;"]


def test_text_of_others_is_text_and_nothing_is_asked_for(tmp_path: Path) -> None:
    context = trained(CONTEXT, "mid", 0.8)
    for text in HOSTILE:
        name = "".join(each for each in text if each.isprintable() and each != "\u202e")
        page = page_of([*context, *trained(name, "mid", 0.6, notes=text)], name)
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8")
        elements = Elements(path)
        assert [text for tag, text in elements.inside if tag == "script"] == []
        for tag, attributes in elements.found:
            assert tag not in ("img", "script", "iframe", "a") or attributes["href"] == "#main"
            assert not any(each.startswith("on") or each == "style" for each in attributes)


def test_a_difference_is_drawn_where_it_lies() -> None:
    (pair,) = compared(
        [*trained("RepMixer", "mid", 0.7, seeds=3), *trained(CONTEXT, "mid", 0.8, seeds=3)],
        "RepMixer",
    ).pairs
    drawing = differences_drawing([pair], 0.003)
    # Ten points below zero, to a scale of 20 points either way that is 392 wide from 14 on.
    assert 'cx="112.0"' in drawing
    assert 'class="worse"' in drawing
    assert "-10" in drawing


def test_what_has_no_interval_is_not_drawn() -> None:
    pair = Comparison(position=Position.MID, block="A", other="B", reason="no seed")
    assert differences_drawing([pair], 0.003) == ""
    page = comparison_report([Compared(pairs=(pair,), margin=0.003, level=0.05)], [])
    assert "Of A at mid and B nothing can be said: no seed." in page
    assert "<figure" not in page
