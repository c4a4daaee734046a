"""A network as bytes that a fresh process can read, whatever file its classes were written in.

Classes that another process could not import travel by value: those of `__main__` and notebooks,
and those of modules that were made by running a file, which have no import spec. For all others the
folders that modules are looked for in travel along.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Iterator
from types import ModuleType

import cloudpickle
from torch import nn

from blockzoo.core.errors import ModelError


def dump_module(module: nn.Module) -> bytes:
    """Return `module` as bytes; raises `ModelError` where something in it cannot be pickled."""
    try:
        with _by_value():
            content: bytes = cloudpickle.dumps(module)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ModelError(f"the network cannot be pickled: {reason}") from error
    # Read before `content`, whose classes may be in folders that only this process knows.
    return pickle.dumps((tuple(sys.path), content))


def load_module_bytes(payload: bytes) -> nn.Module:
    """Return the module of `dump_module`; only for bytes of one's own, since pickles run code.

    Raises `ModelError` where this process cannot make the network's classes.
    """
    try:
        folders, content = pickle.loads(payload)
        sys.path.extend(folder for folder in folders if folder not in sys.path)
        module = pickle.loads(content)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"the network cannot be unpickled: {reason}") from error
    assert isinstance(module, nn.Module)
    return module


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    """Pickle by value what belongs to modules without an import spec."""
    known = set(cloudpickle.list_registry_pickle_by_value())
    # Exactly ModuleType: namespaces such as torch.ops are modules of other types.
    made = [
        module
        for name, module in list(sys.modules.items())
        if type(module) is ModuleType and module.__spec__ is None and module.__name__ == name
    ]
    made = [module for module in made if module.__name__ not in known | {"__main__"}]
    for module in made:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in made:
            cloudpickle.unregister_pickle_by_value(module)
