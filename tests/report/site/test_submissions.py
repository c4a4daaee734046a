"""How far bundles are to be trusted, as the board shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blockzoo.core.errors import InputError
from blockzoo.report.site.build import board_of, build_site
from blockzoo.report.site.columns import board_rows
from blockzoo.report.site.gathering import Gathered
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.board import Submission, read_board
from blockzoo.results.submissions.bundle import write_bundle
from blockzoo.results.submissions.layout import Origin
from blockzoo.results.submissions.verification import Tier, add_verification
from tests.cli.commands.running import run
from tests.report.site.boards import ordinary, put
from tests.results.submissions.test_verification import checked

WHAT = "Seven blocks & more"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    with put(ordinary(), tmp_path_factory.mktemp("ordinary")) as store:
        write_bundle(store, folder / "mine.bundle.zip", Origin(by="Ada", about=WHAT))
    add_verification(folder / "mine.bundle.zip", checked("equal"))
    return folder


@pytest.fixture
def board(folder: Path, tmp_path: Path) -> Iterator[tuple[Store, tuple[Submission, ...]]]:
    with Store(tmp_path / "together", create=True) as store:
        yield store, read_board(folder, store)


def gathered(store: Store) -> Gathered:
    """Return what pages show of the store, its trainings read to their end."""
    found = Gathered(store)
    assert len([*found.trainings()]) == 53
    return found


def test_a_row_is_trusted_as_the_least_trusted_of_its_records(
    board: tuple[Store, tuple[Submission, ...]],
) -> None:
    store, submissions = board
    made = board_of(gathered(store), submissions=submissions)
    rows = board_rows(made.standings, made.log, made.tiers)
    assert rows
    assert {row.tier for row in rows} == {Tier.BIT_FOR_BIT}

    trained = next(row for row in rows if row.standing.trials)
    less = {**made.tiers, trained.standing.trials[-1]: Tier.SELF_REPORTED}
    again = board_rows([trained.standing], (), less)
    assert {row.tier for row in again} == {Tier.SELF_REPORTED}


def test_what_is_of_no_bundle_has_no_tier(board: tuple[Store, tuple[Submission, ...]]) -> None:
    store, _ = board
    assert {row.tier for row in board_rows(board_of(gathered(store)).standings)} == {None}


def test_the_page_of_changes_says_whose_bundles_they_are(
    board: tuple[Store, tuple[Submission, ...]], tmp_path: Path
) -> None:
    store, submissions = board
    build_site(store, tmp_path / "site", submissions=submissions)
    page = (tmp_path / "site" / "changes.html").read_text(encoding="utf-8")
    told = page.partition("<h2>Submissions</h2>")[2]
    assert all(each in told for each in ("mine", "Ada", "reproduced bit for bit", "2026-01-02"))
    assert "Seven blocks &amp; more" in told
    build_site(store, tmp_path / "site")
    assert "Submissions" not in (tmp_path / "site" / "changes.html").read_text(encoding="utf-8")


def test_the_command_takes_a_folder_of_bundles(folder: Path, tmp_path: Path) -> None:
    status, output, told = run("site", "--board", str(folder), "--out", str(tmp_path / "out"))
    assert (status, told) == (0, "")
    assert "begin with" in output
    assert "reproduced bit for bit" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    status, _, told = run("site", "--board", str(tmp_path / "out"), "--out", str(tmp_path / "two"))
    assert (status, told.count("\n")) == (InputError.exit_status, 1)
    assert "holds no bundles" in told
