"""Which code is a library's, and how identities name it.

Code of the standard library and of what BlockZoo stands on goes by its name: records carry those
versions. Code of another installed package goes by its name, version and the digests that its
installer wrote down. All other code is a user's, and is described itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import sysconfig
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

_FOUNDATIONS = {"blockzoo", "builtins", "numpy", "timm", "torch", "torchvision"}
_INSTALLED = {"site-packages", "dist-packages"}


@cache
def library_of(package: str) -> str | None:
    """Return how identities name the library of that top-level name; None where it is none.

    >>> library_of("torch"), library_of("functools"), library_of("my_blocks")
    ('torch', 'functools', None)
    """
    if package in _FOUNDATIONS:
        return package
    file = _file_of(package)
    if package in sys.stdlib_module_names:
        # A user's file may hide one of the standard library, as a folder on the path does.
        return package if file is None or _is_within(file, _standard_folders()) else None
    if file is None or not _INSTALLED & {*file.parts}:
        return None
    return _installed(package)


def library_name(value: Any) -> str | None:
    """Return the name of a class or function that a library has under that name, else None.

    >>> library_name(len), library_name(type("Conv2d", (), {"__module__": "torch.nn"}))
    ('builtins:builtins.len', None)
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    library = library_of(module.partition(".")[0])
    # Whoever only says that it is a library's, or has taken another's place there, is not.
    if library is None or _found(module, name) is not value:
        return None
    return f"{library}:{module}.{name}"


def _found(module: str, qualified_name: str) -> object:
    found: Any = sys.modules.get(module)
    for part in qualified_name.split("."):
        found = getattr(found, part, None)
    return found


def _file_of(package: str) -> Path | None:
    loaded = sys.modules.get(package)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec is not None and spec.has_location else None
    else:
        # A namespace package has no file, only folders.
        origin = getattr(loaded, "__file__", None) or next(iter(_folders(loaded)), None)
    return None if origin is None else Path(origin)


def _folders(module: Any) -> list[str]:
    return list(getattr(module, "__path__", ()))


def _is_within(file: Path, folders: tuple[Path, ...]) -> bool:
    return any(file.resolve().is_relative_to(folder) for folder in folders)


@lru_cache(maxsize=1)
def _standard_folders() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


def _installed(package: str) -> str | None:
    """Return name and version of the distributions of a package; None where none is recorded."""
    names = sorted({*_distributions().get(package, ())})
    versions = [_version(metadata.distribution(name)) for name in names]
    # A folder that was put there by hand may change at any time.
    if not versions or None in versions:
        return None
    return ",".join(f"{name}@{version}" for name, version in zip(names, versions, strict=True))


def _version(distribution: metadata.Distribution) -> str | None:
    """Return the version and a digest of all code: one version may be installed from new code."""
    recorded = distribution.read_text("RECORD")
    if recorded is None:
        return None
    lines = recorded.splitlines()
    code = sorted(line for line in lines if line.partition(",")[0].endswith((".py", ".so")))
    return f"{distribution.version}+{hashlib.sha256(repr(code).encode()).hexdigest()[:8]}"


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return {name: list(found) for name, found in metadata.packages_distributions().items()}
