"""A fingerprint of a module as built: structure, hyperparameters and code; if asked, its numbers.

Two modules with equal fingerprints compute the same function of the same weights. Classes and
functions of libraries go by name, all other code by what it says and uses, see `canonical_code`.
What cannot be described is said, so that nobody takes two modules for the same in silence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

# Registers how code and tensors are described.
from blockzoo.blocks import canonical_code as canonical_code
from blockzoo.blocks.canonical import Describer, handles
from blockzoo.blocks.canonical_tensors import described, described_with_values
from blockzoo.blocks.libraries import library_name

# Not structure, or described in a way of their own.
_MACHINERY = frozenset({"training", "_version", "_parameters", "_buffers", "_modules"})
_FLAGS_OF_HOOKS = {
    "_forward_hooks_with_kwargs": "_forward_hooks",
    "_forward_hooks_always_called": "_forward_hooks",
    "_forward_pre_hooks_with_kwargs": "_forward_pre_hooks",
}
"""Which of the hooks in another dictionary are called in a way of their own."""
_GLOBAL_HOOKS = (
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
)
_PLAIN = frozenset({bool, int, float, str, type(None)})


@dataclass(frozen=True, kw_only=True)
class Description:
    """What tells a module from others: 16 hexadecimal digits, and what they do not cover.

    `unsure`: in words, each thing that has no canonical form; two modules that differ there alone
    have equal digests.
    """

    digest: str
    unsure: tuple[str, ...] = ()


def fingerprint(module: nn.Module) -> str:
    """Return 16 hexadecimal digits that change when the structure or code of `module` changes.

    >>> fingerprint(nn.ReLU()) == fingerprint(nn.ReLU()), len(fingerprint(nn.ReLU()))
    (True, 16)
    >>> fingerprint(nn.Conv2d(3, 8, 3)) == fingerprint(nn.Conv2d(3, 8, 3, bias=False))
    False
    """
    return describe(module).digest


def describe(module: nn.Module, *, values: bool = False) -> Description:
    """Return the fingerprint of `module` and what it could not cover.

    With `values` the numbers in parameters and buffers count too.

    >>> class Holder(nn.Module):
    ...     def __init__(self, held: object) -> None:
    ...         super().__init__()
    ...         self.held = held
    >>> describe(Holder(iter([1]))).unsure
    ("attribute 'held' of Holder is a list_iterator, which has no canonical form",)
    """
    describer = Describer(values=values)
    digest = hashlib.sha256()
    try:
        for line in chain(_hooks_of_all(describer), _lines(describer, "", module)):
            digest.update(line.encode(errors="surrogatepass"))
            digest.update(b"\n")
    except RecursionError:
        describer.doubt("the block holds more levels of objects than can be described")
    return Description(digest=digest.hexdigest()[:16], unsure=tuple(describer.unsure))


def _hooks_of_all(describer: Describer) -> Iterator[str]:
    """Describe hooks that were set for every module there is."""
    for name in _GLOBAL_HOOKS:
        if hooks := getattr(torch.nn.modules.module, name):
            with describer.at("a hook of all modules"):
                yield f"{name}: {describer.texts(hooks.values())}"


@handles(nn.Module)
def _unregistered(describer: Describer, module: nn.Module) -> str:
    """Describe a module that another holds in a list, say, and does not know as its part."""
    return "\n".join(_lines(describer, "", module))


def _lines(describer: Describer, name: str, module: nn.Module) -> Iterator[str]:
    known = describer.number(id(module))
    if known is not None:
        yield f"{name}: #{known}"  # the same module once more: weights are shared
        return
    kind = type(module)
    yield f"{name}: {library_name(kind) or describer.text(kind)}"
    if isinstance(module, torch.jit.ScriptModule):
        yield describer.doubt(f"{kind.__qualname__} is compiled by TorchScript")
    yield from _attributes(describer, module)
    yield from _tensors(describer, module)
    for key, child in module._modules.items():
        path = f"{name}.{key}" if name else key
        if child is None:
            yield f"{path}: None"
        else:
            yield from _lines(describer, path, child)


def _attributes(describer: Describer, module: nn.Module) -> Iterator[str]:
    owner = type(module).__qualname__
    # Hyperparameters that are no tensors: strides, paddings, rates, activation functions.
    for key, value in sorted(vars(module).items()):
        if key in _MACHINERY or (key == "_non_persistent_buffers_set" and not value):
            continue
        if type(value) in _PLAIN:
            yield f"  {key} = {value!r}"
        elif "_hooks" in key and isinstance(value, dict):
            if value:
                with describer.at(f"a hook of {owner}"):
                    yield f"  {key} = {_hooks(describer, module, key)}"
        else:
            with describer.at(f"attribute {key!r} of {owner}"):
                yield f"  {key} = {describer.text(value)}"
    forward = getattr(type(module), "forward", None)
    if library_name(type(module)) and library_name(forward) is None:
        # Somebody gave a library's class another one.
        yield f"  forward = {describer.text(forward)}"


def _hooks(describer: Describer, module: nn.Module, key: str) -> str:
    hooks: dict[int, object] = vars(module)[key]
    main = _FLAGS_OF_HOOKS.get(key)
    if main is None:
        # Without their keys, which count on from what was hooked before, anywhere.
        return describer.texts(hooks.values())
    return str([place for place, each in enumerate(vars(module)[main]) if each in hooks])


def _tensors(describer: Describer, module: nn.Module) -> Iterator[str]:
    describe_one = described_with_values if describer.values else described
    tensors: dict[str, Tensor | None] = {**module._parameters, **module._buffers}
    for key, tensor in tensors.items():
        yield f"  {key}: " + ("None" if tensor is None else describer.once(tensor, describe_one))
