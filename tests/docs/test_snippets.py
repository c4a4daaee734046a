"""Python snippets in README and docs run, from the top of their page, unless they say why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, blocks
from tests.docs.test_commands import tutorial_store, write_blocks

__all__ = ["tutorial_store"]  # a fixture
SNIPPETS = {page: blocks(text, "python") for page, text in PAGES.items() if blocks(text, "python")}
MARKS = {"slow": [pytest.mark.slow], "not run": [pytest.mark.skip(reason="the page says why")]}


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize(
    ("page", "mark"),
    [
        pytest.param(page, mark, marks=MARKS.get(mark, []), id=f"{page} {mark}".strip())
        for page, found in SNIPPETS.items()
        for mark in sorted({block.mark for block in found})
    ],
)
def test_snippets_run(
    page: str, mark: str, tutorial_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tutorial_store, tmp_path / "results")
    write_blocks(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in SNIPPETS[page]:
        if block.mark == mark:
            exec(compile(block.text, page, "exec"), names)


def test_no_snippet_is_left_out_without_a_reason() -> None:
    left_out = [
        page for page, found in SNIPPETS.items() for block in found if block.mark == "not run"
    ]
    assert len(left_out) <= 3
