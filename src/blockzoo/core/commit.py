"""The commit that the sources belong to, where they lie in a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

from blockzoo.core.version import VERSION

PACKAGE = Path(__file__).resolve().parents[1]
_GIT_TIMEOUT_S = 10


def version_line() -> str:
    """Return the version and, where it is known, the commit.

    >>> version_line().split()[:2] == ["blockzoo", VERSION]
    True
    """
    commit = commit_of(PACKAGE)
    return f"blockzoo {VERSION}" + (f" (commit {commit})" if commit else "")


def commit_of(package: Path) -> str | None:
    """Return the git commit that the sources in `package` belong to, with "-dirty" if changed.

    None unless `package` is `src/blockzoo` of a checkout: a package installed in a virtual
    environment inside somebody else's repository does not belong to that repository's commit.
    """
    root = package.parent.parent
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            [*command, "--dirty"], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
