"""Wherever a block's name is taken in Python its class is taken, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from blockzoo.contract.check import check_blocks
from blockzoo.data import load_dataset
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.marginal import marginal_latencies
from blockzoo.experiments.profile import profile_block
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.scaling import measure_scaling
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.experiments.sweep.run import run_sweep
from blockzoo.experiments.train import train_block
from blockzoo.experiments.tuning.tune import tune_block
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.store.database import Store
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.training.recipe import get_recipe

SMALL = ScaffoldConfig(width=4, depth=1, input_shape=(3, 8, 8))
ONCE = LatencySettings(processes=0, rounds_max=3, min_rounds=3, min_seconds=0, warmup_max_s=0.01)


class Mine(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu()  # type: ignore[no-any-return]


def protocol(data: Path, **changes: Any) -> Protocol:
    settings = {"width": 4, "depth": 1, "epochs": 1, "precision": "fp32", "dataset": str(data)}
    times = {"latency_budget_s": 0.05, "latency_processes": 0, "seeds": (0,), "positions": ("mid",)}
    return get_protocol("quick").changed(**settings, **times, **changes)


def swept(data: Path, folder: Path, **changes: Any) -> list[str]:
    with Store(folder / "blockzoo.db", create=True) as store:
        request = SweepRequest(protocol=protocol(data, **changes), device="cpu")
        result = run_sweep(request, store)
        assert (result.ran, result.failed) == (3, 0)
        assert run_sweep(request, store).skipped == 3
        return [record.block for record in store.records()]


def tuned(data: Path, folder: Path) -> list[str]:
    tuning = tune_block(
        *(Mine, "mid"),
        protocol=protocol(data),
        dataset=load_dataset(str(data)),
        file=folder / "tuning.db",
        trials=1,
        device="cpu",
    )
    return [tuning.placement.spec.name]


def trained(data: Path) -> list[str]:
    dataset, recipe = load_dataset(str(data)), get_recipe("quick").lasting(1)
    record = train_block(
        *(Mine, "mid"), dataset=dataset, recipe=recipe, seed=0, config=SMALL, device="cpu"
    )
    return [record.block]


Names = Callable[[Path, Path], list[str]]


@pytest.mark.parametrize(
    "names",
    [
        lambda data, folder: [profile_block(Mine, "mid", config=SMALL).block],
        lambda data, folder: [
            r.block for r in benchmark_blocks([Mine], ["mid"], config=SMALL, settings=ONCE)
        ],
        lambda data, folder: [
            m.block for m in marginal_latencies([Mine], ["mid"], config=SMALL, settings=ONCE)
        ],
        lambda data, folder: [
            r.block
            for r in measure_scaling(
                [Mine], "mid", "batch_size", [1, 2], config=SMALL, settings=ONCE
            )
        ],
        lambda data, folder: [r.block for r in check_blocks([Mine], exports=False)],
        lambda data, folder: trained(data),
        lambda data, folder: tuned(data, folder),
        lambda data, folder: swept(data, folder, blocks=(Mine,)),
    ],
    ids=["profile", "benchmark", "marginal", "scaling", "check", "train", "tune", "sweep"],
)
def test_a_class_is_taken(names: Names, tiny_npz: Path, tmp_path: Path) -> None:
    assert {name.rpartition(":")[2] for name in names(tiny_npz, tmp_path)} == {"Mine"}


def test_a_class_is_a_context(tiny_npz: Path, tmp_path: Path) -> None:
    config = ScaffoldConfig(context=Mine, width=4, depth=1)  # type: ignore[arg-type]
    record = profile_block("Identity", "mid", config=config, memory=False)
    assert record.scaffold.context.endswith("Mine")
    assert set(swept(tiny_npz, tmp_path, blocks=("Identity",), context=Mine)) == {"Identity"}
