"""Drop path: hand-computed paths, expectation, evaluation untouched, same seed, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.experiments.protocol import get_protocol
from blockzoo.results.records import EpochMetrics
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training.drop_path import DropPath, drop_rates
from blockzoo.training.fit import FitResult, fit
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

DATA = tiny_dataset(per_class=20)
CONFIG = ScaffoldConfig(width=4, depth=2, classes=2, input_shape=(3, 8, 8))
RECIPE = replace(TINY_RECIPE, epochs=4, drop_path=0.5, ema_decay=0.9)
CPU = torch.device("cpu")


class Plus(nn.Module):
    """y = x + 1, and the shape that the stage asks for."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Add one; a block that changes the shape repeats channels and takes every other pixel."""
        grown = x.repeat(1, self.channels // x.shape[1], 1, 1)
        return grown[:, :, :: self.stride, :: self.stride] + self.weight


def plus() -> BlockSpec:
    return BlockSpec(
        name="Plus",
        family="plain",
        year=2020,
        paper="2001.00001",
        source="this test",
        licence="Apache-2.0",
        formula="y = x + 1",
        factory=lambda _, channels, stride, position: Plus(channels, stride),
    )


def scaffold(block: str | BlockSpec = "ResNetBasicBlock", **changes: Any) -> ScaffoldNet:
    return ScaffoldNet(block, "late", replace(CONFIG, **changes), seed=1)


def run(recipe: Any = RECIPE, net: nn.Module | None = None, **files: Any) -> FitResult:
    net = scaffold() if net is None else net
    return fit(net, training_settings(DATA, recipe, seed=3), **files)


def curves(result: FitResult) -> list[dict[str, Any]]:
    timed = {"seconds", "elapsed_seconds", "images_per_s"}
    return [epoch.model_dump(exclude=timed) for epoch in result.epochs]


def test_rates_grow_linearly_from_zero_to_the_last() -> None:
    assert drop_rates(6, 0.5).tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_path_is_zero_or_one_over_the_probability_of_being_kept() -> None:
    drop_path = DropPath(scaffold(), 0.5, seed=0, device=CPU)
    drop_path.begin(1)
    paths = drop_path.draw(4000)
    assert paths.shape == (6, 4000)
    for path, rate in zip(paths, drop_rates(6, 0.5).tolist(), strict=True):
        kept = 1 / (1 - rate)
        assert all(value in (0.0, pytest.approx(kept)) for value in path.unique().tolist())
        # 4000 draws: five deviations of the mean of m / (1 - p) are 5 sqrt(p / (1 - p) / 4000).
        assert path.mean().item() == pytest.approx(1.0, abs=0.08)
        assert (path == 0).float().mean().item() == pytest.approx(rate, abs=0.04)
    assert (paths[0] == 1).all()


def test_draws_follow_from_seed_and_epoch_whatever_the_block_and_the_state_of_torch() -> None:
    def drawn(seed: int, epoch: int, net: nn.Module) -> Tensor:
        drop_path = DropPath(net, 0.5, seed=seed, device=CPU)
        drop_path.begin(epoch)
        return torch.cat([drop_path.draw(8), drop_path.draw(5)], dim=1)

    first = drawn(1, 2, scaffold())
    torch.manual_seed(77)
    assert torch.equal(first, drawn(1, 2, scaffold("InvertedResidual")))
    assert not torch.equal(first, drawn(2, 2, scaffold()))
    assert not torch.equal(first, drawn(1, 3, scaffold()))


def test_the_forward_pass_is_the_one_computed_by_hand() -> None:
    """Only stage late is Plus: its first block changes the shape, its second may be skipped."""
    net = scaffold(plus(), context="Identity", depth=2)
    net.stem, net.head = nn.Sequential(), nn.Sequential()
    images = torch.zeros(3, 4, 8, 8)
    paths = torch.ones(6, 3)
    # Of the blocks that change the shape nothing is read.
    paths[2], paths[4] = 100.0, 100.0
    paths[5] = torch.tensor([0.0, 1.0, 2.5])
    y = net(images, paths)
    assert y.shape == (3, 16, 2, 2)
    assert [image.unique().item() for image in y] == [1.0, 2.0, 3.5]


def test_paths_of_one_are_the_network_as_it_is() -> None:
    net = scaffold().train()
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(net(images, torch.ones(6, 4)), net(images))


def test_a_skipped_block_has_no_gradient_from_that_image() -> None:
    net = scaffold(plus(), context="Identity")
    paths = torch.ones(6, 2)
    paths[5] = torch.tensor([0.0, 2.0])
    net.train()(torch.randn(2, 3, 8, 8), paths)[0].sum().backward()
    skipped = net.stage(Position.LATE)[1].weight.grad
    assert isinstance(skipped, Tensor)
    assert skipped.item() == 0.0


def test_arithmetic_in_bf16_stays_in_bf16() -> None:
    net = scaffold().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        paths = torch.ones(6, 4)
        assert net(torch.randn(4, 3, 8, 8), paths).dtype == torch.bfloat16


class Watched(ScaffoldNet):
    """Counts passes with and without paths, by mode."""

    seen: dict[tuple[bool, bool], int]

    def forward(self, images: Tensor, paths: Tensor | None = None) -> Tensor:
        """Map as a scaffold does."""
        key = (self.training, paths is not None)
        self.seen[key] = self.seen.get(key, 0) + 1
        return super().forward(images, paths)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_only_training_skips_and_names_of_weights_stay(ema_decay: float) -> None:
    net = Watched("ResNetBasicBlock", "late", CONFIG)
    net.seen = {}
    names = list(net.state_dict())
    run(replace(RECIPE, epochs=1, ema_decay=ema_decay), net)
    # The average is a copy of the network, so that it shares the counts.
    assert set(net.seen) == {(True, True), (False, False)}
    assert list(net.state_dict()) == names == list(scaffold().state_dict())
    assert not any(module._forward_hooks for module in net.modules())


def test_the_same_seed_gives_the_same_numbers_and_drop_path_counts() -> None:
    first = curves(run())
    assert first == curves(run())
    assert first != curves(run(replace(RECIPE, drop_path=0.0)))
    assert first != curves(run(replace(RECIPE, drop_path=0.4)))


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == 2:
            raise KeyboardInterrupt

    whole, resumed = scaffold(), scaffold()
    run(net=whole)
    path = tmp_path / "a.ckpt"
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path, on_epoch=stop)
    told: list[int] = []
    run(net=resumed, checkpoint=path, on_epoch=lambda metrics: told.append(metrics.epoch))
    assert told == [3, 4]
    found = resumed.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in whole.state_dict().items())


class Recorded(ScaffoldNet):
    """Notes the paths that are taken; in training it holds no more than `most` images."""

    most: int
    taken: list[Tensor]

    def forward(self, images: Tensor, paths: Tensor | None = None) -> Tensor:
        """Map as a scaffold does."""
        if self.training and len(images) > self.most:
            raise torch.OutOfMemoryError("too large")
        if paths is not None:
            self.taken.append(paths)
        return super().forward(images, paths)


def test_batches_in_parts_skip_what_whole_ones_skip() -> None:
    nets = []
    for most in (8, 4):
        net = Recorded("ResNetBasicBlock", "late", CONFIG, seed=1)
        net.most, net.taken = most, []
        found = run(replace(RECIPE, epochs=1), net)
        assert found.micro_batch_size == (None if most == 8 else 4)
        nets.append(net)
    whole, parts = ([paths.shape[1] for paths in net.taken] for net in nets)
    assert (whole, parts) == ([8] * 4 + [4], [4] * 9)  # 40 images less a tenth for validation
    taken = [torch.cat(net.taken, dim=1) for net in nets]
    assert torch.equal(*taken)
    assert (taken[0] == 0).any()


def test_a_network_that_is_no_scaffold_is_refused() -> None:
    expected = "^drop_path is 0.5; only a ScaffoldNet can skip blocks, not Sequential$"
    with pytest.raises(InputError, match=expected):
        run(net=tiny_net())


def test_without_drop_path_identities_are_those_of_before_there_was_any() -> None:
    v1 = get_protocol("v1")
    assert v1.changed(width=32).label == "v1~f1d081"  # as of before the field was there
    assert v1.changed(drop_path=0.0).label == "v1"
    assert v1.changed(drop_path=0.1).label != "v1"
    assert "drop_path" not in TINY_RECIPE.determinants()
    assert RECIPE.determinants()["drop_path"] == 0.5
