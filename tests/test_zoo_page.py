"""docs/zoo.md is written from the registry and must be current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_page_of_all_blocks_is_current() -> None:
    command = [sys.executable, str(ROOT / "scripts/make_zoo_page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
