"""The graph of a module: every operation between its input and its output, seen as it runs.

The module runs once on tensors without data (see `costs/meta.py`) under a mode that sees each
call of a torch function, so control flow, loops and assignments to slices are no hindrance, as they
are to symbolic tracing. What is computed from parameters alone (a standardised kernel, a relative
position bias) is no node, and operations that only rearrange (reshape, permute) pass their input
on. A module whose operations cannot be followed from input to output gives its layers instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from blockzoo.measure.costs.graph import Graph, Kind, Node, keep_between
from blockzoo.measure.costs.meta import call, in_mode, stand_ins, without_data

_LAYOUT = frozenset(
    {
        *("view", "reshape", "permute", "flatten", "unflatten", "contiguous", "squeeze", "get"),
        *("unsqueeze", "expand", "expand_as", "to", "float", "type", "type_as", "clone", "detach"),
        *("dropout", "dropout2d", "movedim", "swapaxes", "view_as", "reshape_as", "t", "identity"),
    }
)
_JOINS = {
    **dict.fromkeys(("add", "iadd", "radd"), ("+", "bias")),
    **dict.fromkeys(("sub", "isub", "rsub"), ("−", "shift")),
    **dict.fromkeys(("mul", "imul", "rmul"), ("×", "scale")),
    **dict.fromkeys(("div", "truediv", "itruediv"), ("÷", "scale")),
}
"""Label with two inputs computed from the module's, and label with one and a constant."""

_POINTWISE = {
    **{"batch_norm": "BN", "layer_norm": "LN", "group_norm": "GN", "instance_norm": "IN"},
    **{"relu": "ReLU", "relu6": "ReLU6", "gelu": "GELU", "silu": "SiLU", "mish": "Mish"},
    **{"hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "sigmoid": "sigmoid"},
    **{"leaky_relu": "LeakyReLU", "prelu": "PReLU", "hardtanh": "clip", "clamp": "clip"},
    **{"softmax": "softmax", "tanh": "tanh", "normalize": "normalise", "neg": "−", "exp": "exp"},
    **{"pow": "power", "sqrt": "√", "rsqrt": "1/√", "softplus": "softplus", "rms_norm": "RMSNorm"},
}
_NAMES = {
    **{"cat": "concat", "concat": "concat", "chunk": "split", "unbind": "split", "stack": "stack"},
    **{"split": "split", "getitem": "slice", "setitem": "write slice", "pad": "pad"},
    **{"matmul": "matmul", "bmm": "matmul", "einsum": "matmul", "rmatmul": "matmul"},
    **{"scaled_dot_product_attention": "attention", "interpolate": "resize", "norm": "norm"},
    **{"pixel_unshuffle": "space to depth", "pixel_shuffle": "depth to space", "roll": "shift"},
    **{"split_with_sizes": "split", "narrow": "slice", "maximum": "max", "amax": "max"},
}
_KERNELED = ("conv1d", "conv2d", "conv3d", "conv_transpose2d")
_POOLS = {"avg_pool2d": "avg pool", "max_pool2d": "max pool"}


def trace(module: nn.Module, input_shape: Sequence[int]) -> Graph:
    """Return the graph of `module` in eval mode for an input (C, H, W), at batch 2.

    >>> graph = trace(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 8, 8))
    >>> [node.label for node in graph.nodes]
    ['input', 'conv 3×3 3→8', 'ReLU', 'output']
    """
    with in_mode(module, training=False):
        try:
            nodes = without_data(lambda device: _traced(module, input_shape, device))
        except Exception:  # noqa: BLE001 - a drawing is made of anything; the layers are there
            nodes = ()
        return Graph(nodes=nodes) if nodes else _layers(module, input_shape)


def _traced(module: nn.Module, input_shape: Sequence[int], device: str) -> tuple[Node, ...]:
    parameters, buffers = stand_ins(module, device)
    features = torch.zeros(2, *input_shape, device=device)
    recorder = _Recorder(features)
    with torch.no_grad(), recorder:
        output = call(module, parameters, buffers, [features])
    assert isinstance(output, Tensor)
    return recorder.finished(output)


class _Recorder(TorchFunctionMode):
    """Notes each torch function that runs, and which node made which tensor."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        shape = tuple(features.shape[1:])
        self._nodes = [Node(label="input", kind="input", shape=shape, inputs=())]
        self._makers = {id(features): 0}
        self._kept_alive: list[object] = [features]  # so that no other tensor gets its id

    def finished(self, output: Tensor) -> tuple[Node, ...]:
        maker = self._makers.get(id(output))
        if maker is None:
            return ()
        shape = tuple(output.shape[1:])
        self._nodes.append(Node(label="output", kind="output", shape=shape, inputs=(maker,)))
        return keep_between(self._nodes, 0, len(self._nodes) - 1)

    def __torch_function__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one function and note it; PyTorch calls this."""
        kwargs = kwargs or {}
        name = _name_of(func)
        sources = self._makers_of((*args, *kwargs.values()))
        # Before it runs, for an operation in place changes its argument.
        before = args[0].shape if args and isinstance(args[0], Tensor) else None
        output = func(*args, **kwargs)
        # `x[...] = y` returns nothing; from here on x is what was computed.
        made = [args[0]] if name == "setitem" else _tensors(output)
        if sources and made:
            self._note(name, args, kwargs, sources, made, before)
        return output

    def _note(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        sources: tuple[int, ...],
        made: list[Tensor],
        before: torch.Size | None,
    ) -> None:
        if len(sources) == 1 and _only_rearranges(name, args, before, made[0]):
            number = sources[0]
        else:
            number = len(self._nodes)
            label, kind = _described(name, args, kwargs, len(sources), made[0])
            shape = tuple(made[0].shape[1:])
            self._nodes.append(Node(label=label, kind=kind, shape=shape, inputs=sources))
        for tensor in made:
            self._makers[id(tensor)] = number
            self._kept_alive.append(tensor)

    def _makers_of(self, values: Sequence[Any]) -> tuple[int, ...]:
        makers = (self._makers.get(id(tensor)) for tensor in _tensors(values))
        return tuple(dict.fromkeys(maker for maker in makers if maker is not None))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _name_of(func: Any) -> str:
    return str(getattr(func, "__name__", func)).strip("_")


def _only_rearranges(
    name: str, args: tuple[Any, ...], before: torch.Size | None, made: Tensor
) -> bool:
    if name == "transpose":
        return not _shuffles(args, before)
    if name in ("add", "radd") and 0 in [a for a in args if isinstance(a, int)]:
        return True  # the beginning of a `sum(...)`
    if name == "getitem":  # an index that drops or adds a dimension of size 1
        return before is not None and before.numel() == made.numel()
    return name in _LAYOUT


def _shuffles(args: tuple[Any, ...], before: torch.Size | None) -> bool:
    """Tell whether groups and channels of (N, groups, channels, H, W) change places."""
    return before is not None and len(before) == 5 and tuple(args[1:]) in ((1, 2), (2, 1))


def _described(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], sources: int, made: Tensor
) -> tuple[str, Kind]:
    if name in _KERNELED:
        return _convolution(name, args, kwargs), "layer"
    if name == "linear":
        weight = _argument(args, kwargs, 1, "weight")
        return f"linear {weight.shape[1]}→{weight.shape[0]}", "layer"
    if name in _JOINS:
        joined, alone = _JOINS[name]
        return (joined, "join") if sources > 1 else (alone, "pointwise")
    if name in _POINTWISE and sources == 1:
        return _POINTWISE[name], "pointwise"
    if name in _POOLS:
        return _pool(_POOLS[name], args, kwargs), "layer"
    return _other(name, args, made)


def _other(name: str, args: tuple[Any, ...], made: Tensor) -> tuple[str, Kind]:
    if name.startswith("adaptive_") or name in ("mean", "sum", "amax", "max", "std", "var"):
        where = "global " if made.dim() < 4 or made.shape[-2:].numel() == 1 else ""
        label = name.removeprefix("adaptive_").replace("_pool2d", " pool")
        return f"{where}{label}", "other"
    if name == "transpose":
        return "channel shuffle", "other"
    label = _NAMES.get(name, name.replace("_", " "))
    return label, "join" if label in ("concat", "matmul", "attention", "stack") else "other"


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], index: int, name: str) -> Any:
    return args[index] if len(args) > index else kwargs.get(name)


def _convolution(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    weight = _argument(args, kwargs, 1, "weight")
    transposed = "transpose" in name
    groups = _argument(args, kwargs, 6, "groups") or 1
    dilation = _argument(args, kwargs, 7 if transposed else 5, "dilation")
    out_channels, in_channels = weight.shape[0], weight.shape[1] * groups
    if transposed:
        in_channels, out_channels = weight.shape[0], weight.shape[1] * groups
    depthwise = groups == in_channels > 1
    words = [
        "dw conv" if depthwise else "conv transpose" if transposed else "conv",
        "×".join(map(str, weight.shape[2:])),
        "" if in_channels == out_channels else f"{in_channels}→{out_channels}",
        "" if depthwise or groups == 1 else f"in {groups} groups",
        _extra("stride", _argument(args, kwargs, 3, "stride")),
        _extra("dilation", dilation),
    ]
    return " ".join(word for word in words if word)


def _pool(label: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    size = _argument(args, kwargs, 1, "kernel_size")
    sides = size if isinstance(size, tuple | list) else (size, size)
    stride = _argument(args, kwargs, 2, "stride") or size
    return f"{label} {'×'.join(map(str, sides))} {_extra('stride', stride)}".strip()


def _extra(word: str, value: Any) -> str:
    """Return the word and its number where it is not 1."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    if set(values) <= {1, None}:
        return ""
    return f"{word} {values[0]}" if len(set(values)) == 1 else f"{word} {values}"


def _layers(module: nn.Module, input_shape: Sequence[int]) -> Graph:
    """Return the layers one after the other, in the order in which they were defined."""
    shape = tuple(input_shape)
    nodes = [Node(label="input", kind="input", shape=shape, inputs=())]
    for name, layer in module.named_modules():
        if not any(True for _ in layer.children()) and not isinstance(layer, nn.Identity):
            label = f"{name or 'module'}: {type(layer).__name__}"
            nodes.append(Node(label=label, kind="other", shape=(), inputs=(len(nodes) - 1,)))
    nodes.append(Node(label="output", kind="output", shape=(), inputs=(len(nodes) - 1,)))
    return Graph(nodes=tuple(nodes), traced=False)
