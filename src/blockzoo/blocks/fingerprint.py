"""A fingerprint of a module as built: structure, shapes and hyperparameters, not weights.

Two modules with equal fingerprints compute the same function of the same weights, as far as their
attributes tell; a record made with one stands for the other. The code of classes of libraries goes
by their versions, which records carry; the code of other classes is part of the fingerprint.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, ModuleType

import torch
from torch import nn

# Here and not in `user_code`, which imports this file.
FILE_MODULE_PREFIX = "blockzoo_user_"
_LIBRARIES = {"blockzoo", "builtins", "timm", "torch", "torchvision"}
_NOT_STRUCTURE = {"training", "_version"}
_FUNCTIONS = (FunctionType, BuiltinFunctionType)
_PLAIN = (bool, int, float, str, torch.dtype, *_FUNCTIONS)


def fingerprint(module: nn.Module) -> str:
    """Return 16 hexadecimal digits that change when the structure of `module` changes.

    >>> fingerprint(nn.ReLU()) == fingerprint(nn.ReLU()), len(fingerprint(nn.ReLU()))
    (True, 16)
    >>> fingerprint(nn.Conv2d(3, 8, 3)) == fingerprint(nn.Conv2d(3, 8, 3, bias=False))
    False
    """
    digest = hashlib.sha256()
    for line in _describe(module):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]


def _describe(module: nn.Module) -> Iterator[str]:
    for name, child in module.named_modules():
        kind = type(child)
        yield f"{name}: {_spelled(kind.__module__)}.{kind.__qualname__}{_code_of(kind)}"
        # Hyperparameters that are no tensors: strides, paddings, rates, activation functions.
        for key, value in sorted(vars(child).items()):
            if key not in _NOT_STRUCTURE and _is_plain(value):
                yield f"  {key} = {_value_text(value)}"
    # Shapes and no values: weights differ by seed, structure does not.
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        yield f"{name}: {tuple(tensor.shape)} {tensor.dtype} grad={tensor.requires_grad}"


def _code_of(kind: type) -> str:
    """Return a digest of the code around a class that is no library's, else nothing.

    That is its module, which may hold what its forward calls; of a script only the class itself. A
    file that was given by its path carries the digest in its module's name.
    """
    module = kind.__module__
    if module.partition(".")[0] in _LIBRARIES or module.startswith(FILE_MODULE_PREFIX):
        return ""
    return _digest_of_source(kind) if module == "__main__" else _digest_of_module(module)


@lru_cache(maxsize=256)
def _digest_of_module(name: str) -> str:
    """Return the digest once per process, because the file may change but the module will not."""
    return _digest_of_source(sys.modules[name]) if name in sys.modules else ""


def _digest_of_source(source: type | ModuleType) -> str:
    try:
        return f" {code_digest(ast.parse(textwrap.dedent(inspect.getsource(source))))}"
    except (OSError, TypeError, SyntaxError):
        return ""  # typed at a prompt, or made by `type(...)`: there is no source to read


def code_digest(tree: ast.AST) -> str:
    """Return 12 hexadecimal digits of code, which comments and layout do not change.

    >>> code_digest(ast.parse("x = 1")) == code_digest(ast.parse("x=1  # one"))
    True
    """
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, _PLAIN)


def _value_text(value: object) -> str:
    """Return the value as text, without the address that the repr of a function holds."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_value_text, value))})"
    if isinstance(value, _FUNCTIONS):
        return f"{_spelled(value.__module__)}.{value.__qualname__}"
    return repr(value)


def _spelled(module: str) -> str:
    """Return the module's name as it was when the families of the zoo lay beside the registry.

    Identities hold these names; results stored before the zoo had a room keep theirs.
    """
    return module.replace("blockzoo.blocks.zoo.", "blockzoo.blocks.", 1)
