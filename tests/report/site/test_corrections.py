"""The log of corrections: what it marks, and what no log is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from blockzoo.analysis.standings import Standing
from blockzoo.core.errors import InputError
from blockzoo.report.site.build import board_of
from blockzoo.report.site.columns import board_rows
from blockzoo.report.site.corrections import Correction, count_of, mark_of, read_corrections
from blockzoo.report.site.gathering import Gathered
from tests.report.site.boards import ordinary, put

ENTRY = '[[correction]]\ndate = 2026-03-01\nmark = "suspect"\nreason = "heat"\n'


@pytest.fixture(scope="module")
def standings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Standing, ...]]:
    with put(ordinary(), tmp_path_factory.mktemp("store")) as store:
        gathered = Gathered(store)
        assert len([*gathered.trainings()]) == 53
        yield board_of(gathered).standings


def written(folder: Path, text: str) -> Path:
    path = folder / "log.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_entries_are_read_in_their_order(tmp_path: Path) -> None:
    later = '[[correction]]\ndate = 2026-03-02\nmark = "clean"\nreason = "cool"\nprotocol = "v1"\n'
    log = read_corrections(written(tmp_path, f'{ENTRY}block = "A"\n{later}'))
    assert [(each.mark, each.reason, each.of) for each in log] == [
        ("suspect", "heat", {"block": "A"}),
        ("clean", "cool", {"protocol": "v1"}),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[correction", "is no TOML"),
        ("title = 1\n", "holds 'title'; only [[correction]] may stand there"),
        (ENTRY, "entry 1 says of no results; name a block, position, protocol"),
        (ENTRY.replace("suspect", "bad") + 'block = "A"\n', "entry 1, mark: Input should be"),
        (ENTRY + "block = 3\n", "entry 1, block: "),
        (ENTRY + 'blocks = "A"\n', "entry 1, blocks: Extra inputs"),
        (
            f'{ENTRY}block = "A"\n{ENTRY.replace("-03-", "-02-")}block = "A"\n',
            "entry 2 is of 2026-02-01, before the one above it of 2026-03-01",
        ),
    ],
)
def test_what_is_no_log_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        read_corrections(written(tmp_path, text))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_log_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_corrections(tmp_path / "nowhere.toml")


def entry(day: int, mark: str, reason: str, **of: str) -> Correction:
    return Correction.model_validate(
        {"date": date(2026, 3, day), "mark": mark, "reason": reason, **of}
    )


def test_the_last_entry_of_a_result_holds(standings: tuple[Standing, ...]) -> None:
    log = [
        entry(1, "suspect", "heat", block="RepMixer"),
        entry(2, "withdrawn", "wrong", block="RepMixer", position="mid"),
        entry(3, "clean", "run again", block="RepMixer", position="late"),
    ]
    marks = {
        str(each.position): mark_of(log, each, None)
        for each in standings
        if each.block == "RepMixer"
    }
    assert marks == {
        "early": ("suspect", "heat"),
        "mid": ("withdrawn", "wrong"),
        "late": ("clean", "run again"),
    }
    assert [count_of(each, standings) for each in log] == [3, 1, 1]


def test_a_backend_marks_its_timings_alone(standings: tuple[Standing, ...]) -> None:
    log = [entry(1, "suspect", "driver", backend="onnxruntime")]
    rows = board_rows(standings, log)
    marked = {row.latency.backend for row in rows if row.latency and row.mark == "suspect"}
    assert marked == {"onnxruntime"}
    # Nine of them, of the one protocol and of the other that shares a cost.
    assert count_of(log[0], standings) == 10


def test_terms_are_asked_for_by_protocol_and_data(standings: tuple[Standing, ...]) -> None:
    assert count_of(entry(1, "suspect", "?", protocol="v1"), standings) == 1
    assert count_of(entry(1, "suspect", "?", dataset="digits"), standings) == 13
    assert count_of(entry(1, "suspect", "?", dataset="other"), standings) == 0
