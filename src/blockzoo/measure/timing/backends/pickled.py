"""A network as bytes that a fresh process can read, whatever file its classes were written in.

Classes that another process could not import travel by value: those of `__main__` and notebooks,
and those of modules that were made by running a file, which have no import spec. For all others the
folders that modules are looked for in travel along.

Beside classes a file may hold what no pickle does: an open file, a generator, a stream. Where by
value is impossible the path of such a file and a digest of its source travel instead, and the other
process runs the file again, unless it was changed since. Of a lock it gets a new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import linecache
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
from torch import nn
from torch.nn.utils import parametrize

from blockzoo.core.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class _RunFile:
    """A module that was made by running a file: its name, the file, the SHA-256 of its bytes."""

    name: str
    path: str
    digest: str

    def make(self) -> None:
        """Have the module in this process; raises `ModelError` where the file is another now."""
        if self.name in sys.modules:
            return
        source = Path(self.path).read_bytes()
        if hashlib.sha256(source).hexdigest() != self.digest:
            raise ModelError(f"{self.path} was changed since the network was made")
        module = ModuleType(self.name)
        module.__file__ = self.path
        sys.modules[self.name] = module  # before it runs: pickles look its classes up there
        try:
            exec(compile(source, self.path, "exec", dont_inherit=True), module.__dict__)
        except BaseException:  # else the next network would be made of half a module
            del sys.modules[self.name]
            raise


def dump_module(module: nn.Module) -> bytes:
    """Return `module` as bytes; raises `ModelError` where something in it cannot be pickled."""
    made = _made_by_running()
    files: list[_RunFile] = []
    try:
        content = _dumped(module, made)
    except Exception as error:
        try:
            files, content = _dumped_with_files(module, made)
        except Exception:  # noqa: BLE001 - then no file is what stands in the way
            content = b""
        reason = " ".join(str(error).split())
        if not files:
            raise ModelError(f"the network cannot be pickled: {reason}") from error
    # Read before `content`, whose classes may be in folders that only this process knows.
    return pickle.dumps((tuple(sys.path), files, content))


def load_module_bytes(payload: bytes) -> nn.Module:
    """Return the module of `dump_module`; only for bytes of one's own, since pickles run code.

    Raises `ModelError` where this process cannot make the network's classes.
    """
    try:
        folders, files, content = pickle.loads(payload)
        sys.path.extend(folder for folder in folders if folder not in sys.path)
        for file in files:
            file.make()
        module = pickle.loads(content)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"the network cannot be unpickled: {reason}") from error
    assert isinstance(module, nn.Module)
    return module


_COMPILED = tuple(EXTENSION_SUFFIXES)  # whose modules may have no import spec either
_MADE_ANEW: dict[type, Callable[[], Any]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.local: threading.local,
}
"""What stands between the threads of one process; in another one there is nothing to keep of it."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """Takes layers with parametrizations, too, which refuse to be pickled as they are."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to make a value again; pickle calls this."""
        if type(value) in _MADE_ANEW:
            return _MADE_ANEW[type(value)], ()
        if isinstance(value, nn.Module) and parametrize.is_parametrized(value):
            kind = parametrize.type_before_parametrizations(value)
            return _parametrized, (kind, list(_names_of(value))), vars(value), None, None, _set
        return super().reducer_override(value)


def _names_of(module: nn.Module) -> Iterator[str]:
    assert isinstance(module.parametrizations, nn.ModuleDict)
    yield from module.parametrizations


def _parametrized(kind: type[nn.Module], names: list[str]) -> nn.Module:
    """Return an object of the class that torch makes of `kind`, as yet without its state."""
    module = kind.__new__(kind)
    parametrize._inject_new_class(module)
    for name in names:
        parametrize._inject_property(module, name)
    return module


def _set(module: nn.Module, state: dict[str, Any]) -> None:
    vars(module).update(state)


def _dumped(module: nn.Module, by_value: list[ModuleType]) -> bytes:
    buffer = io.BytesIO()
    with _by_value(by_value):
        _Pickler(buffer).dump(module)
    return buffer.getvalue()


def _dumped_with_files(module: nn.Module, made: list[ModuleType]) -> tuple[list[_RunFile], bytes]:
    """Return the module with the files that are to be run again before it is made, if any."""
    files = [file for file in map(_file_of, made) if file is not None]
    names = {file.name for file in files}
    content = _dumped(module, [each for each in made if each.__name__ not in names])
    # A pickle names the modules that it takes something from; the other files may be anybody's.
    return [file for file in files if file.name.encode() in content], content


def _made_by_running() -> list[ModuleType]:
    """Return the modules without an import spec, which another process could not import."""
    # Exactly ModuleType: namespaces such as torch.ops are modules of other types.
    return [
        module
        for name, module in list(sys.modules.items())
        if type(module) is ModuleType
        and module.__spec__ is None
        and module.__name__ == name
        and name != "__main__"
    ]


def _file_of(module: ModuleType) -> _RunFile | None:
    """Return the file of such a module; None where it has none, or another one by now."""
    path = getattr(module, "__file__", None)
    if path is None or path.endswith(_COMPILED) or not Path(path).is_file():
        return None
    source = Path(path).read_bytes()
    # Whoever runs a file may note what ran, so that tracebacks show it.
    noted = linecache.cache.get(path)
    if noted and len(noted) > 2 and "".join(noted[2]) != importlib.util.decode_source(source):
        return None
    return _RunFile(name=module.__name__, path=path, digest=hashlib.sha256(source).hexdigest())


@contextlib.contextmanager
def _by_value(made: list[ModuleType]) -> Iterator[None]:
    """Pickle by value what belongs to these modules."""
    known = set(cloudpickle.list_registry_pickle_by_value())
    made = [module for module in made if module.__name__ not in known]
    for module in made:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in made:
            cloudpickle.unregister_pickle_by_value(module)
