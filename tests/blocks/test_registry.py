"""The registry: names, aliases, duplicates, and factories that misbehave."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from blockzoo.blocks import (
    BlockSpec,
    canonical_name,
    get_block,
    list_available_blocks,
    register_block,
    registry,
    to_deploy,
)
from blockzoo.core.errors import BlockError, InputError, UnknownNameError
from blockzoo.core.position import Position

_FAITHFUL = [
    "DYMicroBlock",
    "EdgeResidual",
    "GhostBottleneckV3",
    "InvertedResidual",
    "MBConvLNBlock",
    "MobileOneBlock",
    "ReparamLargeKernelConv",
    "RepMixer",
    "ResNetBasicBlock",
    "ResNetBottleneck",
    "UniversalInvertedBottleneck",
]
_FACTS: dict[str, Any] = {
    "family": "plain",
    "year": 2020,
    "paper": "2001.00001",
    "source": "this test",
    "licence": "Apache-2.0",
    "formula": "y = conv(x)",
}


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test register blocks that are gone afterwards."""
    list_available_blocks()
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    monkeypatch.setattr(registry, "_aliases", dict(registry._aliases))


@pytest.fixture(autouse=True)
def _keep_generator() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def _conv(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)


def test_the_zoo_has_the_early_versions_names_and_its_blocks_as_they_were() -> None:
    names = list_available_blocks()
    plain = [name for name in names if "/" not in name]
    classic = [name.removeprefix("classic/") for name in names if "/" in name]
    assert set(_FAITHFUL) | {"Identity"} <= set(plain)
    assert classic == [name for name in _FAITHFUL if name != "DYMicroBlock"]
    assert names == [*plain, *(f"classic/{name}" for name in classic)]


@pytest.mark.parametrize("name", list_available_blocks())
def test_every_block_tells_where_it_comes_from(name: str) -> None:
    spec = get_block(name)
    assert spec.name == name
    assert re.fullmatch(r"\d{4}\.\d{4,5}|none \(\w+\)|CVPR 2020", spec.paper)
    assert 2012 <= spec.year <= 2026
    assert spec.formula.startswith(("y = ", "z = "))
    is_torchvisions = spec.source.startswith("torchvision")
    assert spec.licence == ("BSD-3-Clause" if is_torchvisions else "Apache-2.0")
    assert spec.initialisation == ("own" if name.startswith("classic/") else "policy")
    path, line = spec.defined_at.rsplit(":", 1)
    assert "register" in Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1]


@pytest.mark.usefixtures("_own_registry")
def test_a_registered_factory_is_built_with_its_arguments() -> None:
    register_block("MyConv", aliases=("mine",), **_FACTS)(_conv)
    block = get_block("MyConv").build(8, 16, 2, Position.LATE)
    assert isinstance(block, nn.Conv2d)
    assert (block.in_channels, block.out_channels, block.stride) == (8, 16, (2, 2))
    assert get_block("mine") is get_block("MyConv")
    assert "MyConv" in list_available_blocks()
    assert "mine" not in list_available_blocks()


@pytest.mark.usefixtures("_own_registry")
def test_a_class_can_be_registered_and_stays_what_it_is() -> None:
    @register_block("MyClass", **_FACTS)
    class MyClass(nn.Identity):
        pass

    assert isinstance(get_block("MyClass").build(8, 8, 1, Position.EARLY), MyClass)


@pytest.mark.usefixtures("_own_registry")
@pytest.mark.parametrize(
    ("name", "aliases"),
    [("ResNetBasicBlock", ()), ("Other", ("ResNetBasicBlock",)), ("first", ()), ("X", ("first",))],
)
def test_a_name_that_is_taken_is_refused_with_both_places(
    name: str, aliases: tuple[str, ...]
) -> None:
    first = registry.register(
        BlockSpec(name="First", factory=_conv, aliases=("first",), defined_at="a.py:1", **_FACTS)
    )
    taken = first if "first" in (name, *aliases) else get_block("ResNetBasicBlock")
    again = BlockSpec(name=name, factory=_conv, aliases=aliases, defined_at="b.py:2", **_FACTS)
    with pytest.raises(InputError, match="registered twice") as caught:
        registry.register(again)
    assert taken.defined_at in str(caught.value)
    assert "b.py:2" in str(caught.value)
    assert get_block(taken.name) is taken
    assert "X" not in list_available_blocks()


@pytest.mark.parametrize("home", ["blockzoo", "blockzoo.blocks", "blockzoo.blocks.registry"])
def test_a_name_of_the_zoo_is_taken_before_anybody_asks_for_it(home: str) -> None:
    """In a fresh process that registers a block before it looks up any: a name, then an alias."""
    code = f"""
from {home} import register_block
from torch.nn import Identity
for name in ("RepMixer", "RepVGG"):
    try:
        register_block(name, **{_FACTS!r})(Identity)
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    errors = done.stdout.splitlines()
    for name, error in zip(("RepMixer", "RepVGG"), errors, strict=True):
        assert error.startswith(f"InputError block name {name!r} is registered twice: at ")
        assert "reparam.py:" in error
        assert "and at " in error


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnetbasicblok", "ResNetBasicBlock"),
        ("MobileOneBlok", "MobileOneBlock"),
        ("MBConvBlock", "MBConv"),  # what it begins with, not MBConvLNBlock
        ("GhostBotleneckV3", "GhostBottleneckV3"),
        ("classic/RepMix", "classic/RepMixer"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown block '{name}'") as caught:
        get_block(name)
    assert near in caught.value.near
    assert near in str(caught.value)


@pytest.mark.usefixtures("_own_registry")
def test_a_factory_that_raises_is_named_with_its_arguments() -> None:
    @register_block("Broken", **_FACTS)
    def broken(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
        raise KeyError("no such thing")

    expected = "block Broken cannot be built with in=8, out=16, stride=2, position=mid: KeyError"
    with pytest.raises(BlockError, match=re.escape(expected)) as caught:
        get_block("Broken").build(8, 16, 2, Position.MID)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.usefixtures("_own_registry")
def test_weights_without_a_shape_are_refused() -> None:
    @register_block("Lazy", **_FACTS)
    def lazy(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
        return nn.Sequential(nn.Identity(), nn.LazyConv2d(out_channels, 3, stride, 1))

    expected = "block Lazy with in=8, out=16, stride=2, position=mid has LazyConv2d, whose weights"
    with pytest.raises(BlockError, match=re.escape(expected)):
        get_block("Lazy").build(8, 16, 2, Position.MID)


@pytest.mark.usefixtures("_own_registry")
def test_an_error_of_blockzoo_passes_through_a_factory_unchanged() -> None:
    @register_block("Refusing", **_FACTS)
    def refusing(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
        raise InputError("only on Sundays")

    with pytest.raises(InputError, match=r"^only on Sundays$"):
        get_block("Refusing").build(8, 8, 1, Position.EARLY)


@pytest.mark.usefixtures("_own_registry")
def test_a_factory_that_returns_something_else_is_named() -> None:
    register_block("Text", **_FACTS)(lambda *_: "not a module")  # type: ignore[type-var]
    with pytest.raises(BlockError, match=r"block Text .* returned str, not a torch\.nn\.Module"):
        get_block("Text").build(8, 8, 1, Position.EARLY)


@pytest.mark.usefixtures("_own_registry")
def test_a_factory_without_source_is_placed_by_its_module() -> None:
    register_block("Partial", **_FACTS)(partial(_conv))
    assert get_block("Partial").defined_at == "functools"
    assert isinstance(get_block("Partial").build(8, 8, 1, Position.EARLY), nn.Conv2d)


class _Detected(nn.Conv2d):
    """Takes (c1, c2, n, shortcut, g, e), as in detection code."""

    def __init__(self, c1: int, c2: int, n: int, shortcut: bool, g: int, e: float) -> None:
        super().__init__(c1, c2, 3, 2 if shortcut else 1, 1, groups=g)
        self.repeats, self.expansion = n, e


@pytest.mark.usefixtures("_own_registry")
def test_what_takes_other_arguments_is_built_by_an_adapter() -> None:
    add = register_block("Detected", build=lambda i, o, s: _Detected(i, o, 3, s == 2, 1, 0.5))
    block = get_block("Detected").build(8, 16, 2, Position.MID)
    assert isinstance(block, _Detected)
    assert (block.in_channels, block.out_channels, block.stride, block.repeats) == (
        8,
        16,
        (2, 2),
        3,
    )
    assert add(_Detected) is _Detected
    assert get_block(_Detected) is get_block("Detected")
    assert get_block("Detected").identity_name == "Detected"


@pytest.mark.usefixtures("_own_registry")
def test_an_adapter_may_take_the_position_and_nothing_further() -> None:
    places: list[Position] = []

    def build(i: int, o: int, s: int, place: Position) -> nn.Module:
        places.append(place)
        return nn.Conv2d(i, o, 3, s, 1)

    register_block("Placed", build=build)
    get_block("Placed").build(8, 8, 1, Position.LATE)
    assert places == [Position.LATE]
    with pytest.raises(
        InputError, match=r"build of block 'Two' \(.*\) takes \(i, o\); it must take"
    ):
        register_block("Two", build=lambda i, o: nn.Conv2d(i, o, 3))


@pytest.mark.usefixtures("_own_registry")
def test_a_name_is_all_that_registering_needs() -> None:
    @register_block("Alone")
    class Alone(nn.Conv2d):
        """y = conv(x)

        More.
        """

        def __init__(
            self, in_channels: int, out_channels: int, stride: int, **further: Any
        ) -> None:
            super().__init__(in_channels, out_channels, 3, stride, 1, **further)

    spec = get_block(Alone)
    assert (spec.name, spec.family, spec.formula) == ("Alone", "user", "y = conv(x)")
    assert isinstance(spec.build(8, 16, 2, Position.MID), Alone)
    with pytest.raises(InputError, match=r'needs a name: @register_block\("MyBlock"\)'):
        register_block(Alone)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_own_registry")
def test_a_registered_class_that_cannot_be_called_says_what_nothing_supplies() -> None:
    expected = (
        r"function Odd .* takes \(a, b, c, d, e\); .*; nothing supplies a, b, c, d, e; it has no"
    )
    with pytest.raises(InputError, match=expected):
        register_block("Odd")(lambda a, b, c, d, e: nn.Identity())
    assert registry.registered("Odd") is None


@pytest.mark.usefixtures("_own_registry")
def test_case_does_not_count_where_a_name_is_one_blocks_alone() -> None:
    assert get_block("resnetbasicblock").name == "ResNetBasicBlock"
    assert get_block("REPVGG") is get_block("RepVGG")
    assert canonical_name("repvgg") == "RepVGGBlock"
    for name in ("Twin", "twin"):
        register_block(name, **_FACTS)(_conv)
    assert get_block("twin").name == "twin"
    with pytest.raises(UnknownNameError, match="did you mean"):
        get_block("TWIN")


@pytest.mark.usefixtures("_own_registry")
def test_merge_methods_are_named_at_registration() -> None:
    class Fused(nn.Sequential):
        def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
            conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            super().__init__(conv, nn.BatchNorm2d(out_channels))

        def fuse_convs(self) -> nn.Module:
            return nn.Conv2d(8, 16, 1)

    register_block("Fused", merge_methods=("fuse_convs",))(Fused)
    block = get_block("Fused").build(8, 16, 1, Position.MID)
    assert sum(each.numel() for each in to_deploy(block).parameters()) == 8 * 16 + 16


@pytest.mark.usefixtures("_own_registry")
def test_a_merge_that_asks_for_arguments_is_told_once_with_the_blocks_name() -> None:
    @register_block("AsksForMore")
    class Asks(nn.Conv2d):
        def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
            super().__init__(in_channels, out_channels, 3, stride, 1)

        def fuse(self, features: torch.Tensor) -> None:
            """Never called."""

    line = "block AsksForMore: Asks.fuse(features) takes arguments, so it is not called and no"
    with pytest.warns(UserWarning, match=re.escape(line)) as told:
        get_block(Asks).build(8, 8, 1, Position.MID)
    get_block(Asks).build(8, 8, 1, Position.MID)  # a warning would be an error here
    assert len(told) == 1
    assert told[0].filename == __file__
