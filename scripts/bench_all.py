"""The early version's script: profile, time and train its eleven blocks at all positions, one seed.

Takes the options of `blockzoo sweep`, for example `--dataset cifar10 --epochs 5`; an option given
here overrides the script's own (`--seeds 1`).
"""

from __future__ import annotations

import sys

from blockzoo.cli.app import app
from blockzoo.experiments.protocol import ELEVEN_BLOCKS


def main() -> None:
    """Run `blockzoo sweep` on the eleven blocks."""
    app(["sweep", *ELEVEN_BLOCKS, "--seeds", "1", *sys.argv[1:]], prog_name="bench_all.py")


if __name__ == "__main__":
    main()
