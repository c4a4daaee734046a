"""Whose fault: the place in the user's own files that an error came through.

The files of users' blocks are claimed as they are loaded; an error that passed through one of them
is told in one line that ends with the deepest such place.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import sysconfig
import traceback
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import blockzoo
from blockzoo.core.errors import one_line

_LIBRARIES = {"site-packages", "dist-packages"}

_own_files: set[Path] = set()
_own_folders: set[Path] = set()


def describe_error(error: BaseException, otherwise: str = "") -> str:
    """Return type and message of an error in one line, with its place in the user's own code.

    The place is the deepest line of the traceback in a file that is the user's; `otherwise` is
    said where there is none.
    """
    text = one_line(error)
    place = own_place(error) or otherwise
    return f"{text} ({place})" if place else text


def own_place(error: BaseException) -> str | None:
    """Return "file:line" of the deepest place in a user's file that the error came through."""
    places = [
        f"{_shown(frame.f_code.co_filename)}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_own(frame.f_code.co_filename)
    ]
    if isinstance(error, SyntaxError) and error.filename and _is_own(error.filename):
        places.append(f"{_shown(error.filename)}:{error.lineno}")
    return places[-1] if places else None


def claim(target: object) -> None:
    """Count the file of a class or function among the user's own."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(target))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return
    if file is not None:
        _own_files.add(Path(file).resolve())


def place_of(target: object) -> str:
    """Return "file:line" of a class or function, or its module where there is no source."""
    try:
        original: Any = inspect.unwrap(target)  # type: ignore[arg-type]
        file, line = inspect.getsourcefile(original), inspect.getsourcelines(original)[1]
        return f"{file}:{line}"
    except (OSError, TypeError):
        return str(getattr(target, "__module__", type(target).__module__))


def claim_file(path: Path) -> None:
    """Count a file and what lies beside it among the user's own."""
    _own_files.add(path)
    _own_folders.add(path.parent)


def claim_module(module: ModuleType) -> None:
    """Count the file of a module, and its whole package, among the user's own."""
    if module.__file__ is not None:
        _own_files.add(Path(module.__file__).resolve())
    package = sys.modules.get(module.__name__.partition(".")[0])
    for folder in getattr(package, "__path__", ()):
        _own_folders.add(Path(folder).resolve())


def claim_found(name: str) -> None:
    """Do the same for a module that raised while it was imported, by where it was found."""
    try:
        found = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return
    if found is None:
        return
    if found.origin is not None:
        _own_files.add(Path(found.origin).resolve())
    for folder in found.submodule_search_locations or ():
        _own_folders.add(Path(folder).resolve())


@lru_cache(maxsize=1)
def _never_own() -> tuple[Path, ...]:
    library = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    return (Path(blockzoo.__path__[0]).resolve(), *(Path(folder).resolve() for folder in library))


def _is_own(filename: str) -> bool:
    path = Path(filename).resolve()
    if path in _own_files:
        return True
    for folder in _own_folders:
        if path.is_relative_to(folder) and not _LIBRARIES & {*path.relative_to(folder).parts}:
            return not any(
                path.is_relative_to(other) and not folder.is_relative_to(other)
                for other in _never_own()
            )
    return False


def _shown(filename: str) -> str:
    path = Path(filename).resolve()
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return path.as_posix()
