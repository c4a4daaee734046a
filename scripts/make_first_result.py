"""Write what the first tutorial shows of `blockzoo sweep --quick`: its table and its plot.

    blockzoo sweep --quick --results DIR && blockzoo results DIR --export first_result.jsonl
    python scripts/make_first_result.py [--check]

The records of that sweep are `benchmarks/results/first_result.jsonl`. With --check nothing is
written; the exit status is 1 if the page's table is not what `blockzoo results` shows of them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "benchmarks/results/first_result.jsonl"
PAGE = ROOT / "docs/tutorials/first-result.md"
PLOT = ROOT / "docs/tutorials/first-result.svg"
COLUMNS = "100"
"""Width of the terminal that the page shows."""
_BETWEEN = re.compile(
    r"(?<=<!-- output of: blockzoo results -->\n).*(?=<!-- end of output -->)", re.DOTALL
)


def main() -> None:
    """Write or check the page's table; draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    checking = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        blockzoo(folder, "results", "results", "--import", str(BUNDLE))
        table = blockzoo(folder, "results", "results")
        page = PAGE.read_text(encoding="utf-8")
        current = _BETWEEN.sub(lambda _: f"```text\n{table}```\n", page)
        if checking:
            if current != page:
                sys.exit(f"{PAGE.name} is not current; run python scripts/make_first_result.py")
            return
        PAGE.write_text(current, encoding="utf-8")
        blockzoo(folder, "visualize", "results")
        (plot,) = Path(folder).glob("results/plots/*flops*.svg")
        shutil.copy(plot, PLOT)


def blockzoo(folder: str, *arguments: str) -> str:
    """Run a command in that folder and return what it shows, without spaces at line ends."""
    done = subprocess.run(
        [sys.executable, "-m", "blockzoo", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": COLUMNS},
        capture_output=True,
        text=True,
        check=True,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    main()
