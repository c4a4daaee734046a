from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import get_block
from blockzoo.core.position import Position
from blockzoo.measure.costs.graph import Graph, Node, folded
from blockzoo.measure.costs.trace import trace


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = x + self.conv(x).relu() * (self.scale * 2)
        return output


class Opaque(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = torch.from_numpy(self.conv(x).numpy() * 2)
        return doubled


class WritesASlice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[:, :2] = x[:, :2].relu()
        return y


def labels(graph: Graph) -> list[str]:
    return [node.label for node in graph.nodes]


def test_a_residual_is_traced_with_its_edges_and_shapes() -> None:
    graph = trace(Residual(), (4, 6, 5))
    assert labels(graph) == ["input", "dw conv 3×3", "ReLU", "scale", "+", "output"]
    assert graph.edges == ((0, 1), (1, 2), (2, 3), (0, 4), (3, 4), (4, 5))
    assert {node.shape for node in graph.nodes} == {(4, 6, 5)}
    assert graph.traced


def test_folding_writes_activations_behind_their_layer() -> None:
    graph = folded(trace(Residual(), (4, 6, 5)))
    assert labels(graph) == ["input", "dw conv 3×3 · ReLU · scale", "+", "output"]
    assert graph.edges == ((0, 1), (0, 2), (1, 2), (2, 3))


def test_folding_keeps_a_value_that_is_used_twice() -> None:
    shape = (1,)
    nodes = (
        Node(label="input", kind="input", shape=shape, inputs=()),
        Node(label="conv", kind="layer", shape=shape, inputs=(0,)),
        Node(label="ReLU", kind="pointwise", shape=shape, inputs=(1,)),
        Node(label="+", kind="join", shape=shape, inputs=(1, 2)),
    )
    assert folded(Graph(nodes=nodes)) == Graph(nodes=nodes)


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        (nn.Conv2d(4, 8, (1, 5), stride=2), "conv 1×5 4→8 stride 2"),
        (nn.Conv2d(4, 4, 3, groups=2, dilation=2), "conv 3×3 in 2 groups dilation 2"),
        (nn.ConvTranspose2d(4, 8, 2, stride=2), "conv transpose 2×2 4→8 stride 2"),
        (nn.MaxPool2d(3, 2), "max pool 3×3 stride 2"),
        (nn.AdaptiveAvgPool2d(1), "global avg pool"),
        (nn.ChannelShuffle(2), "channel shuffle"),
        (nn.Upsample(scale_factor=2), "resize"),
    ],
)
def test_labels_say_what_matters(layer: nn.Module, label: str) -> None:
    assert labels(trace(layer, (4, 8, 8)))[1:-1] == [label]


def test_a_write_into_a_slice_joins_the_graph() -> None:
    assert labels(trace(WritesASlice(), (4, 4, 4))) == [
        *("input", "zeros like", "slice", "ReLU", "write slice", "output")
    ]


def test_operations_that_cannot_be_followed_give_the_layers() -> None:
    graph = trace(Opaque(), (4, 4, 4))
    assert not graph.traced
    assert labels(graph) == ["input", "conv: Conv2d", "output"]


@pytest.mark.parametrize("name", ["SKBottleneck", "HorNetGnConv", "WTConvNeXtBlock", "Identity"])
def test_blocks_are_traced_from_input_to_output(name: str) -> None:
    block = get_block(name).build(8, 16, 2, Position.MID)
    graph = trace(block, (8, 16, 16))
    assert graph.traced
    assert graph.nodes[0].shape == (8, 16, 16)
    assert graph.nodes[-1].shape == (16, 8, 8)
    assert all(source < target for source, target in graph.edges)
