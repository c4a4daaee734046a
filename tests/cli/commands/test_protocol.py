"""`blockzoo protocol`, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from blockzoo.cli.app import app
from blockzoo.results.store.database import Store
from tests.experiments.test_protocol_settings import NARROW, trained


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["protocol", *arguments], env={"COLUMNS": "100"})


def test_a_changed_protocol_is_explained_by_the_store_it_is_in(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(trained(NARROW))
    result = run("show", NARROW.label, "--results", str(tmp_path))
    assert result.exit_code == 0, result.output
    (line,) = [line.split() for line in result.stdout.splitlines() if line.startswith("width")]
    assert line == ["width", "32", "64"]
    assert f"{NARROW.label} is v1 with width 32 (v1: 64)" in result.stdout


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = run("show", "v1~123456", "--results", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "blockzoo.db does not exist" in result.stderr


def test_all_are_listed() -> None:
    names = [line.split()[0] for line in run("list").stdout.splitlines()[:7]]
    assert names == ["protocol", "quick", "quick2", "quick3", "lite", "classic", "v1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("draw",), "unknown verb 'draw'"),
        (("show",), "name the protocol"),
        (("list", "v1"), "list takes no name"),
        (("show", "v9"), "unknown protocol 'v9'; did you mean v1?"),
        (("show", "v1~123456", "--set", "width=3"), "--set changes a published protocol"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1
