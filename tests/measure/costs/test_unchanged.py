"""What a forward pass keeps is gone after a run without data, wherever it was kept.

Members of the kind in public code: grids by size in an attribute (Megvii-BaseDetection/YOLOX
#1679, yolox/models/yolo_head.py), attention biases by device in a dict
(huggingface/pytorch-image-models #2795), tensors as attributes of a function (Comfy-Org/ComfyUI
#12183), embeddings in the cache of a function (huggingface/transformers #40007).
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.core.errors import LateWeightsError
from blockzoo.core.position import Position
from blockzoo.measure.costs.complexity import count_macs
from blockzoo.measure.costs.memory import inference_memory
from blockzoo.measure.costs.meta import call, stand_ins
from blockzoo.measure.costs.unchanged import left_unchanged
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

_OF_FILE: dict[tuple[int, ...], Tensor] = {}


def _grid(size: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.linspace(-1, 1, size[0] * size[1], device=device).view(1, 1, *size)


class _Gridded(nn.Module):
    """x + grid, the grid being made once per size and kept somewhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.grid_for(tuple(x.shape[-2:]), x.device)

    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        raise NotImplementedError


class _InAttribute(_Gridded):
    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        if getattr(self, "grid", None) is None:
            self.grid = _grid(size, device)
        grid: Any = self.grid
        return grid  # type: ignore[no-any-return]


class _InBuffer(_InAttribute):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", None, persistent=False)


class _InNewBuffer(_Gridded):
    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        if not hasattr(self, "made"):
            self.register_buffer("made", _grid(size, device))
        return self.get_buffer("made")


class _ByKey(_Gridded):
    """Keeps grids in `self.kept`, whatever that is."""

    kept: Any

    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        if size not in self.kept:
            self.kept[size] = _grid(size, device)
        grid: Tensor = self.kept[size]
        return grid


class _InDict(_ByKey):
    def __init__(self) -> None:
        super().__init__()
        self.kept = {}


class _InNestedDict(_ByKey):
    def __init__(self) -> None:
        super().__init__()
        self.all = [{"grids": OrderedDict[Any, Tensor]()}]
        self.kept = self.all[0]["grids"]


class _InDictOfClass(_ByKey):
    kept: Any = {}  # noqa: RUF012 - the idiom that is tested


class _InDictOfFile(_ByKey):
    def __init__(self) -> None:
        super().__init__()
        self.kept = _OF_FILE


class _InGlobal(_Gridded):
    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        global _last
        if _last is None:
            _last = _grid(size, device)
        return _last


_last: Tensor | None = None


class _InDefault(_Gridded):
    def grid_for(
        self,
        size: tuple[int, ...],
        device: torch.device,
        kept: dict[Any, Any] = {},  # noqa: B006 - the idiom that is tested
    ) -> Tensor:
        return kept.setdefault(size, _grid(size, device))  # type: ignore[no-any-return]


@dataclass(slots=True)
class _Slotted:
    grid: Tensor | None = None
    older: list[Tensor] = field(default_factory=list)


class _InObject(_Gridded):
    def __init__(self) -> None:
        super().__init__()
        self.holder = _Slotted()

    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        if self.holder.grid is None:
            self.holder.grid = _grid(size, device)
        self.holder.older.append(self.holder.grid)
        return self.holder.older[0]


class _InFunctionCache(_Gridded):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    @lru_cache(maxsize=4)  # noqa: B019 - the idiom that is tested
    def made(self, size: tuple[int, ...]) -> Tensor:
        return _grid(size, self.scale.device)

    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        return self.made(size)


def _function_with_attribute(size: tuple[int, ...], device: torch.device) -> Tensor:
    this: Any = _function_with_attribute
    if not hasattr(this, "grid"):
        this.grid = _grid(size, device)
    grid: Tensor = this.grid
    return grid


class _InFunctionAttribute(_Gridded):
    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        return _function_with_attribute(size, device)


class _InHook(_Gridded):
    """A hook, of which only a layer of PyTorch knows, adds what it saw the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()
        seen: deque[Tensor] = deque(maxlen=2)

        def keep(
            into: deque[Tensor], _: nn.Module, inputs: tuple[Tensor], output: Tensor
        ) -> Tensor:
            into.append(output)
            return output + into[0].mean()

        self.layer.register_forward_hook(partial(keep, seen))

    def grid_for(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        grid: Tensor = self.layer(_grid(size, device))
        return grid


_KEEPERS = [
    *(_InAttribute, _InBuffer, _InNewBuffer, _InDict, _InNestedDict, _InDictOfClass, _InHook),
    *(_InDictOfFile, _InGlobal, _InDefault, _InObject, _InFunctionCache, _InFunctionAttribute),
]


@pytest.mark.parametrize("kind", _KEEPERS)
def test_a_block_runs_as_new_after_a_run_without_data(kind: Callable[[], nn.Module]) -> None:
    image = torch.zeros(1, 1, 4, 4)
    expected = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    for trial in (kind(), nn.Sequential(kind())):
        inference_memory(trial, (1, 4, 4))
        with left_unchanged(trial):
            assert torch.allclose(trial(image), expected)


class _Turning(nn.Module):
    """Keeps what it computed of its frequencies, gradient and all."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.ones(4))
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = self.frequencies.cos()
        return x * self.kept


class _Summing(_Turning):
    """Adds up what it has seen in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.sums["seen"] = self.sums["seen"] + x.sum() if "seen" in self.sums else x.sum()
        return x * self.frequencies + self.sums["seen"]


class _Banking(_Turning):
    """A hook puts its buffers into a list, of which the first one counts."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((1,), 3.0))
        self.bank: list[Tensor] = []
        self.register_forward_pre_hook(lambda *_: self.bank.extend(self.buffers()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.frequencies * self.bank[0]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    ("kind", "expected"), [(_Turning, 2.1612), (_Summing, 4 + 16), (_Banking, 4 * 3)]
)
def test_a_block_learns_after_runs_of_any_mode(
    kind: Callable[[], _Turning], expected: float, mode: Callable[[], Any]
) -> None:
    """Frequencies kept with their gradient (lucidrains/rotary-embedding-torch #18) or made in
    inference mode (Dao-AILab/flash-attention #299), sums in a dict (pytorch/pytorch #164732), and a
    hook that collects buffers (pytorch/pytorch #153062)."""
    block = kind()
    inference_memory(block, (4,))
    for _ in range(2):
        with left_unchanged(block), mode():
            block(torch.ones(1, 4))
    for _ in range(2):
        with left_unchanged(block):
            loss = block(torch.ones(1, 4)).sum()
            loss.backward()
            assert loss.item() == pytest.approx(expected, rel=1e-4)


class _Mine(nn.Sequential):
    """A class that is not PyTorch's, whose modules are taken to keep nothing."""


def test_attributes_order_and_what_is_in_containers_come_back() -> None:
    layer = _Mine(OrderedDict(a=nn.Identity(), b=nn.Identity()))
    keeper: Any = layer
    keeper.numbers, keeper.names, keeper.pair = [1, 2], {"x"}, ([3],)
    with left_unchanged(layer):
        first = layer._modules.pop("a")
        layer.add_module("a", first)
        layer.add_module("c", nn.Identity())
        keeper.numbers.append(3)
        keeper.names.add("y")
        keeper.pair[0].clear()
        keeper.calls = 1
        layer.train(False)
        layer.register_forward_hook(lambda *_: None)
    assert [name for name, _ in layer.named_children()] == ["a", "b"]
    assert (keeper.numbers, keeper.names, keeper.pair) == ([1, 2], {"x"}, ([3],))
    assert (hasattr(layer, "calls"), layer.training, len(layer._forward_hooks)) == (False, True, 0)


def test_plain_tensors_and_generators_come_back() -> None:
    keeper: Any = _InDict()
    keeper.steps, keeper.draws, keeper.python = torch.zeros(1), torch.Generator(), random.Random(0)
    other_name = keeper.steps
    drawn = torch.rand(1, generator=torch.Generator()), random.Random(0).random()
    with left_unchanged(keeper):
        keeper.steps += 1
        torch.rand(1, generator=keeper.draws)
        keeper.python.random()
    assert keeper.steps is other_name
    assert keeper.steps.item() == 0
    assert (torch.rand(1, generator=keeper.draws), keeper.python.random()) == drawn


def test_what_was_kept_before_stays_and_comes_back_after_an_error() -> None:
    block = _InDict()
    grid = _grid((4, 4), torch.device("cpu"))
    block.kept[4, 4] = grid

    @left_unchanged(block)
    def fail() -> None:
        block.kept[5, 5] = grid
        block.kept[4, 4] = grid.clone()
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert list(block.kept) == [(4, 4)]
    assert block.kept[4, 4] is grid


def test_weight_norm_of_the_older_kind_leaves_no_empty_weight() -> None:
    with pytest.warns(FutureWarning):
        layer = nn.utils.weight_norm(nn.Conv2d(2, 2, 1))
    count_macs(layer, torch.empty(1, 2, 4, 4))
    assert not layer.weight.is_meta


def test_a_block_of_the_zoo_keeps_no_bias_of_a_run_without_data() -> None:
    placement = Placement.of("EfficientViTCGA", "mid", ScaffoldConfig(width=16))
    network = placement.build().eval()
    inference_memory(network, (3, 32, 32))
    caches = [
        m.attention_bias_cache for m in network.modules() if "attention_bias_cache" in vars(m)
    ]
    assert caches
    assert not any(caches)


class _Late(nn.Module):
    second: Any

    def __init__(self) -> None:
        super().__init__()
        self.second = None

    def forward(self, x: Tensor) -> Tensor:
        if self.second is None:
            self.second = nn.Conv2d(x.shape[1], x.shape[1], 1).to(x.device)
        y: Tensor = self.second(x)
        return y


def test_weights_made_in_the_first_forward_are_refused_by_name() -> None:
    block = _Late()
    with pytest.raises(LateWeightsError, match=r"makes weights in its first forward \(second.weig"):
        count_macs(block, torch.empty(1, 2, 4, 4))
    assert block.second is None


@pytest.mark.parametrize("name", list_available_blocks())
def test_no_block_of_the_zoo_keeps_a_tensor_of_a_run_without_data(name: str) -> None:
    """Also where its layers are taken to keep nothing, and are not looked at."""
    block = get_block(name).build(16, 32, 2, Position.MID).eval()
    parameters, buffers = stand_ins(block, "meta")
    call(block, parameters, buffers, [torch.empty(1, 16, 12, 12, device="meta")])
    for part in block.modules():
        held = [value for value in vars(part).values() if isinstance(value, (dict, Tensor))]
        inner = [each for value in held if isinstance(value, dict) for each in value.values()]
        assert not any(isinstance(each, Tensor) and each.is_meta for each in (*held, *inner))
