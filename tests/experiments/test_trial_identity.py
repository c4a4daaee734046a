"""Identities: what is part of them, and that one thing has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from blockzoo.core.run_way import RunWay
from blockzoo.data import ImageDataset, load_dataset
from blockzoo.experiments import trial_identity
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.recording import common_fields, recorded_environment
from blockzoo.experiments.trial_identity import (
    cost_trial_id,
    latency_trial_id,
    scaffold_identity,
    scaffold_settings,
    training_trial_id,
)
from blockzoo.measure.machine import devices
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training.settings import TrainingSettings

SMALL = ScaffoldConfig(width=8, depth=2, classes=3, input_shape=(3, 16, 16))
TINY = ScaffoldConfig(width=4, depth=1, input_shape=(3, 8, 8))
BLOCK = """
from torch import nn

class Mine(nn.Conv2d):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, 3, stride, 1)

    def forward(self, x):
        return {forward}
"""


def test_settings_are_the_configuration() -> None:
    settings = scaffold_settings(SMALL)
    assert (settings.width, settings.depth, settings.classes) == (8, 2, 3)
    assert ScaffoldConfig(**settings.model_dump()) == replace(SMALL, stem="small")


def test_the_stem_counts_as_the_one_there_is() -> None:
    small = {**asdict(SMALL), "stem": "small"}
    assert scaffold_identity(SMALL) == scaffold_identity(replace(SMALL, stem="small")) == small
    large = replace(SMALL, input_shape=(3, 128, 128))
    assert scaffold_identity(large) == scaffold_identity(replace(large, stem="large"))
    assert scaffold_identity(large)["stem"] == scaffold_settings(large).stem == "large"


@pytest.fixture
def digits() -> ImageDataset:
    return load_dataset("digits")


def ids(block: str, data: ImageDataset, scaffold: ScaffoldConfig = TINY) -> tuple[str, str, str]:
    """The ids of cost, latency and training of that block, as the baseline of itself."""
    placement = Placement.of(block, "mid", scaffold)
    settings = LatencySettings(way=RunWay(device="cpu"))
    protocol = get_protocol("quick")
    training = TrainingSettings(dataset=data, recipe=protocol.recipe, seed=0, device="cpu")
    return (
        cost_trial_id(placement),
        latency_trial_id(placement, settings=settings),
        training_trial_id(placement, training),
    )


def test_a_file_has_one_identity_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: ImageDataset
) -> None:
    monkeypatch.setattr(trial_identity, "describe_environment", lambda _: {"boost": None})
    folder, moved = tmp_path / "here", tmp_path / "moved"
    folder.mkdir()
    moved.mkdir()
    (tmp_path / "link").symlink_to(folder)
    text = BLOCK.format(forward="self._conv_forward(x, self.weight, self.bias)")
    (folder / "blk.py").write_text(text)
    (moved / "other.py").write_text(text)
    (moved / "changed.py").write_text(BLOCK.format(forward="-super().forward(x)"))
    monkeypatch.chdir(folder)

    def of(container: Path | str, context: str = TINY.context) -> tuple[str, str, str]:
        return ids(f"{container}:Mine", digits, replace(TINY, context=context))

    same: list[Path | str] = [
        "blk.py",
        "./blk.py",
        "../here/blk.py",
        folder / "blk.py",
        tmp_path / "link/blk.py",
    ]
    assert len({of(container) for container in (*same, moved / "other.py")}) == 1
    assert not {*of("blk.py")} & {*of(moved / "changed.py")}
    # The same as a context.
    in_it = {ids("Identity", digits, replace(TINY, context=f"{each}:Mine")) for each in same}
    elsewhere = ids("Identity", digits, replace(TINY, context=f"{moved / 'other.py'}:Mine"))
    assert in_it == {elsewhere}
    assert ids("Identity", digits) != elsewhere


def test_an_alias_is_no_other_context(digits: ImageDataset) -> None:
    alias, name = (replace(TINY, context=context) for context in ("RepVGG", "RepVGGBlock"))
    assert ids("Identity", digits, alias) == ids("Identity", digits, name)
    assert Placement.of("Identity", "mid", alias) == Placement.of("Identity", "mid", name)
    quick = get_protocol("quick")
    assert quick.changed(context="RepVGG").label == quick.changed(context="RepVGGBlock").label


def test_the_name_of_a_data_set_is_none_of_a_training(digits: ImageDataset) -> None:
    renamed = replace(digits, name="copy")
    assert ids("Identity", digits)[2] == ids("Identity", renamed)[2]
    other = replace(digits, classes=tuple("abcdefghij"))
    assert ids("Identity", digits)[2] != ids("Identity", other)[2]


def test_processors_of_one_name_with_other_instructions_are_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described = {"processor": "AMD EPYC", "instructions": "AVX2"}
    monkeypatch.setattr(trial_identity, "describe_environment", lambda _: dict(described))
    placement = Placement.of("Identity", "mid", TINY)
    settings = LatencySettings(way=RunWay(device="cpu"))
    narrow = latency_trial_id(placement, settings=settings)
    assert latency_trial_id(placement, settings=settings) == narrow
    described["instructions"] = "AVX512-BF16"
    assert latency_trial_id(placement, settings=settings) != narrow


def test_one_cuda_device_has_one_identity(
    monkeypatch: pytest.MonkeyPatch, digits: ImageDataset
) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda: ("cpu", "cuda:0", "cuda:1"))
    names = {"cuda:0": "H200", "cuda:1": "A10", "cpu": None}
    asked: list[str] = []

    def environment(device: str) -> dict[str, object]:
        asked.append(device)
        return {"accelerator": names[device]}

    monkeypatch.setattr(trial_identity, "describe_environment", environment)
    placement = Placement.of("Identity", "mid", TINY)

    def of(device: str) -> str:
        settings = LatencySettings(way=RunWay(device=device))
        return latency_trial_id(placement, settings=settings)

    first = of("cuda")
    assert of("cuda:0") == of("auto") == first
    assert {*asked} == {"cuda:0"}
    assert len({first, of("cuda:1"), of("cpu")}) == 3
    names["cuda:1"] = "H200"  # the same kind of device: it does not matter which
    assert of("cuda:1") == first

    precise = replace(get_protocol("quick").recipe, precision="fp32", channels_last=False)
    trainings = {
        training_trial_id(
            placement, TrainingSettings(dataset=digits, recipe=precise, seed=0, device=device)
        )
        for device in ("cuda", "cuda:0", "auto", "cuda:1")
    }
    assert len(trainings) == 1


def test_records_say_what_the_fingerprint_does_not_cover(tmp_path: Path) -> None:
    text = BLOCK.format(forward="self._conv_forward(x, self.weight, self.bias)")
    file = tmp_path / "unsure.py"
    file.write_text(text.replace("1)\n", "1)\n        self.held = iter([1])\n", 1))
    found: Callable[[str], tuple[str, ...]] = lambda block: common_fields(  # noqa: E731
        Placement.of(block, "mid", TINY), recorded_environment()
    )["unsure"]
    assert found(f"{file}:Mine") == (
        "attribute 'held' of Mine is a list_iterator, which has no canonical form",
    )
    assert found("Identity") == ()
