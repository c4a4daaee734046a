"""The benchmark of the zoo in every backend gates, times, goes on where it was, writes its page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = ("--blocks", "Identity", "--backends", "eager", "export", "--width", "8", "--depth", "1")


def run(work: Path, *options: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks/zoo_backends.py"), "--work", str(work)]
    done = subprocess.run([*command, *SMALL, *options], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_phases_leave_a_page_and_go_on_where_they_were(tmp_path: Path) -> None:
    work, page, output = tmp_path / "work", tmp_path / "page.md", tmp_path / "results.json"
    assert "Identity: 2 of 2 ready" in run(work, "--phase", "gate", "--jobs", "1")
    failed = work / "cells" / "Identity.export.json"
    failed.write_text(json.dumps({"status": "failed", "reason": "took over 1 s"}))
    again = run(
        work, "--processes", "1", "--budget-s", "0.05", "--page", str(page), "--output", str(output)
    )
    assert "ready" not in again
    assert "process 1: Identity" in again
    blocks = json.loads(output.read_text())["blocks"]
    assert blocks["Identity"]["eager"]["to_eager"][0] == 1.0
    assert blocks["Identity"]["eager"]["difference"] == 0.0
    assert blocks["Identity"]["export"] == {"reason": "took over 1 s"}
    assert blocks["ResNetBasicBlock"]["export"]["samples"] > 0
    text = page.read_text()
    assert "| block | eager (ms) | to baseline | export |" in text
    assert text.endswith("| (1) |\n\n- (1) took over 1 s\n")
