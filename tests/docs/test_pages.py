"""Pages that are written from code, or speak of it, say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blockzoo.blocks import get_block
from blockzoo.core.position import Position
from blockzoo.experiments.part_costs import stage_cost
from blockzoo.experiments.protocol import get_protocol
from blockzoo.results.table.columns import COLUMNS
from tests.cli.commands.running import run
from tests.docs.pages import PAGES, ROOT
from tests.docs.test_commands import tutorial_store

__all__ = ["tutorial_store"]  # a fixture


def test_the_page_of_commands_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from make_commands_page import page

    assert page() == PAGES["docs/reference/commands.md"]
    assert "`--position early|mid|late`, `-p early|mid|late`" in page()
    assert "`--protocol TEXT` (default: `v1`)" in page()


@pytest.mark.parametrize("palette", ["light", "dark"])
@pytest.mark.parametrize("name", ["scaffold", "sweep", "latency"])
def test_pictures_are_current(name: str, palette: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from make_pictures import picture

    drawn = (ROOT / f"docs/pictures/{name}-{palette}.svg").read_text(encoding="utf-8")
    assert picture(name, palette) == drawn


def test_the_first_tutorial_shows_what_the_command_shows(
    tutorial_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If not: python scripts/make_first_result.py."""
    monkeypatch.chdir(tutorial_store.parent)
    monkeypatch.setenv("COLUMNS", "100")
    status, shown, _ = run("results", "results")
    table = "".join(f"{line.rstrip()}\n" for line in shown.splitlines())
    assert status == 0
    assert "MobileOneBlock" in table
    assert f"```text\n{table}```" in PAGES["docs/tutorials/first-result.md"]


@pytest.mark.parametrize("name", ["quick", "classic", "v1"])
def test_the_table_of_protocols(name: str) -> None:
    protocol = get_protocol(name)
    (row,) = re.findall(rf"^\| `{name}` .*$", PAGES["docs/explanation/protocol.md"], re.M)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert f"width {protocol.width}, depth {protocol.depth}" in cells[1]
    assert ("stem with bias" in cells[1]) is protocol.stem_bias
    assert cells[2:] == [
        f"`{protocol.recipe.name}`",
        f"`{protocol.dataset}`",
        str(len(protocol.seeds)),
    ]


CLASSIC = re.findall(
    r"^\| `(\w+)` \| ([\d.,]+ / [\d.,]+) \| ([\d.,]+ / [\d.,]+) \|",
    PAGES["docs/explanation/early-version.md"],
    re.M,
)


@pytest.mark.parametrize(("name", "early", "now"), CLASSIC)
def test_what_names_of_the_early_version_mean(name: str, early: str, now: str) -> None:
    shown = []
    for each in (f"classic/{name}", name):
        cost = stage_cost(get_block(each), Position.MID).train
        shown.append(f"{cost.params_total / 1e3:,.1f} / {cost.macs / 1e6:,.1f}")
    assert shown == [early, now]


def test_all_ten_names_of_the_early_version_are_there() -> None:
    assert len(CLASSIC) == 10


def test_every_column_is_on_the_page_of_columns() -> None:
    page = PAGES["docs/reference/columns.md"]
    assert [name for name in COLUMNS if f"`{name}`" not in page] == []


def test_links_of_texts_outside_the_docs_lead_to_files() -> None:
    """Sphinx checks those between pages."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / target).exists(), (name, target)


def test_pages_that_are_spoken_of_exist() -> None:
    files = [ROOT / "CHANGELOG.md", *PAGES_AND_SOURCES]
    spoken = {
        path
        for file in files
        for path in re.findall(r"(?<![\w/])docs/[\w/-]+\.md\b", file.read_text(encoding="utf-8"))
    }
    assert len(spoken) > 10
    assert sorted(path for path in spoken if not (ROOT / path).exists()) == []


PAGES_AND_SOURCES = [
    path
    for folder in ("docs", "src", "scripts", "benchmarks", "tests")
    for pattern in ("*.md", "*.py")
    for path in sorted((ROOT / folder).rglob(pattern))
]
