"""The repository of a board from end to end: a bundle is submitted, checked, merged and shown."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import write_bundle
from blockzoo.results.submissions.layout import Origin
from blockzoo.results.submissions.verification import Tier, read_verifications
from tests.cli.commands.running import run
from tests.experiments.verification.tiny import FIRST, swept, trained

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "examples/board"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board's repository without any bundle; `blockzoo` is the one under test."""
    commands = tmp_path / "bin"
    commands.mkdir()
    command = commands / "blockzoo"
    start = "import sys; from blockzoo.cli import main; sys.exit(main())"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    # As many threads as the bundle's trainings had.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.org")
    folder = tmp_path / "repository"
    shutil.copytree(TEMPLATE, folder)
    monkeypatch.chdir(folder)
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "A board")
    return folder


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def script(name: str, *arguments: str) -> tuple[int, str]:
    """Return the exit status of one of the repository's scripts and all it printed."""
    done = subprocess.run([f"ci/{name}", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def submit(branch: str, *, accuracy: float | None = None, also: str | None = None) -> None:
    """Make a branch off main that adds a bundle of the tiny sweep, and perhaps another file."""
    git("checkout", "--quiet", "-b", branch, "main")
    records = [*swept()]
    if accuracy is not None:
        false = {"test_accuracy": accuracy, "test_correct": None, "test_images": None}
        first = trained(FIRST, 0)
        records = [r.model_copy(update=false) if r == first else r for r in records]
    Path("board").mkdir(exist_ok=True)
    with Store(f"../store of {branch}", create=True) as store:
        store.put_all(records)
        write_bundle(store, f"board/{branch}.bundle.zip", Origin(by="Ada", about="two blocks"))
    if also is not None:
        Path(also).write_text("{}")
    git("add", "--all")
    git("commit", "--quiet", "--message", f"A bundle of {branch}")
    git("checkout", "--quiet", "main")


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_bundle_is_submitted_checked_merged_recorded_and_shown(
    repository: Path, tmp_path: Path
) -> None:
    submit("ada")
    status, said = script("check", "ada", "2")
    assert (status, said) == (0, said)
    assert "2 costs counted again, 2 trials made again, nothing failed" in said
    assert git("status", "--porcelain") == ""

    git("merge", "--quiet", "--no-edit", "ada")
    status, said = script("record", "2")
    assert (status, said) == (0, said)
    assert git("log", "-1", "--format=%s").strip() == "Checks of new bundles"
    assert read_verifications("board/ada.bundle.zip").tier is Tier.BIT_FOR_BIT
    head = git("rev-parse", "HEAD")
    assert script("record", "2")[0] == 0  # nothing is left to be verified
    assert git("rev-parse", "HEAD") == head

    status, said = script("rebuild", str(tmp_path / "one"))
    assert (status, said) == (0, said)
    # Once more, in another process and elsewhere.
    another = str(tmp_path / "another" / "two")
    assert run("site", "--board", "board", "--out", another)[0] == 0
    first, second = files_of(tmp_path / "one"), files_of(Path(another))
    assert "index.html" in first
    assert FIRST.encode() in first["index.html"]
    assert Tier.BIT_FOR_BIT.value.encode() in first["index.html"]
    assert b">ada<" in first["changes.html"]
    assert first == second


def test_a_false_bundle_is_not_merged(repository: Path) -> None:
    submit("eve", accuracy=0.99)
    status, said = script("check", "eve", "99")
    assert status == 1
    assert "99.00% told" in said
    assert not (repository / "board").exists()


@pytest.mark.parametrize(
    "also", ["board/eve.verified.json", "ci/check", "board/eve.txt", "board/a b.bundle.zip"]
)
def test_a_branch_that_changes_anything_else_is_refused(repository: Path, also: str) -> None:
    submit("eve", also=also)
    status, said = script("check", "eve")
    assert status == 2
    assert "refused: only new files board/NAME.bundle.zip may be added" in said


def test_nobody_replaces_a_bundle_and_a_branch_must_add_one(repository: Path) -> None:
    submit("ada")
    git("merge", "--quiet", "--no-edit", "ada")
    git("branch", "--quiet", "same")
    assert script("check", "same") == (2, "refused: same adds nothing\n")
    git("checkout", "--quiet", "-b", "eve")
    Path("board/ada.bundle.zip").write_bytes(b"PK")
    git("commit", "--quiet", "--all", "--message", "Mine is better")
    git("checkout", "--quiet", "main")
    status, said = script("check", "eve")
    assert status == 2
    assert said.startswith("M\tboard/ada.bundle.zip\n")


def test_the_workflow_runs_the_scripts_there_are() -> None:
    workflow = yaml.safe_load((TEMPLATE / ".github/workflows/board.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    run = [step["run"].split()[0] for step in steps if step.get("run", "").startswith("ci/")]
    assert run == ["ci/check", "ci/record", "ci/rebuild"]
    assert all(os.access(TEMPLATE / name, os.X_OK) for name in run)
    # Whoever submits may write nothing: the token of a pull request only reads.
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["check"]
