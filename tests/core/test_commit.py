from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from blockzoo.core.commit import commit_of


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_a_checkout_and_of_changes_in_it(tmp_path: Path) -> None:
    package = tmp_path / "src" / "blockzoo"
    package.mkdir(parents=True)
    source = package / "code.py"
    source.write_text("one\n")
    assert commit_of(package) is None
    git(tmp_path, "init", "-q")
    assert commit_of(package) is None  # no commit yet
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of(package) == commit
    source.write_text("two\n")
    assert commit_of(package) == f"{commit}-dirty"


def test_a_package_installed_inside_another_repository_has_no_commit(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "blockzoo"
    package.mkdir(parents=True)
    git(tmp_path, "init", "-q")
    assert commit_of(package) is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path / "src" / "blockzoo") is None
