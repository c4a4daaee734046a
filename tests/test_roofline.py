"""The roofline end to end on small networks: what is placed under it, written, and refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from torch import Tensor, nn
from typer.testing import CliRunner, Result

import blockzoo.cli  # noqa: F401 - adds the commands
from blockzoo.blocks import BlockSpec
from blockzoo.cli.app import app
from blockzoo.errors import InputError, ResultsError
from blockzoo.measure import peaks
from blockzoo.measure.complexity import count_macs
from blockzoo.measure.latency import LatencySettings
from blockzoo.measure.peaks import PeakSettings
from blockzoo.roofline import measure_roofline, roofline_figure, roofline_frame
from blockzoo.scaffold import ScaffoldConfig, ScaffoldNet

SMALL = ScaffoldConfig(width=8, depth=1)
FAST = LatencySettings(
    min_rounds=3,
    rounds_max=3,
    min_seconds=0.0,
    warmup_calls=1,
    warmup_max_s=0.01,
    budget_s=5.0,
    processes=1,
    batch_size=2,
)
TINY = PeakSettings(matrix_side=64, copy_bytes=2**16, repeats=2)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["roofline", *arguments])
