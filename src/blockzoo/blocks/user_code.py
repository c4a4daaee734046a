"""Blocks that BlockZoo did not write: found by file or module.

A block of a user is named by its path, `path/to/file.py:MyBlock` or `package.module:MyBlock`. What
goes wrong in it is said in one line that ends with the place in the user's own file. A file is run
once per process, under a module name that holds a digest of its code, so that two files of one name
do not meet.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import linecache
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from torch import nn

from blockzoo.blocks.signatures import Target
from blockzoo.blocks.source_code import code_digest
from blockzoo.blocks.user_errors import (
    claim_failed_module,
    claim_file,
    claim_module,
    describe_error,
)
from blockzoo.core.errors import BlockError, BlockZooError, InputError, UnknownNameError
from blockzoo.core.process_state import changes_since, process_state, put_back

_FILE_MODULE_PREFIX = "blockzoo_user_"
_FORMS = "path/to/file.py:MyBlock or package.module:MyBlock"

_files: dict[Path, ModuleType] = {}


class LoadedBlock(NamedTuple):
    """A class or function found by its path; `name` is the stable spelling of what was asked."""

    name: str
    target: Target


def names_user_code(name: str) -> bool:
    """Tell whether `name` has the form of a file or module with a class in it, or was meant to.

    >>> [names_user_code(name) for name in ("my.py:MyBlock", "my.py", "classic/RepMixer")]
    [True, True, False]
    """
    return ":" in name or name.endswith(".py")


def load(path: str) -> LoadedBlock:
    """Find the class or function that `path` says, importing its file or module.

    >>> load("nowhere.py:MyBlock")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    blockzoo.core.errors.InputError: there is no file nowhere.py (looked in ...)

    Raises `InputError` for a file, module or class that is not there and for a name of another
    form; `UnknownNameError` with near names for a class that is not in the file; `BlockError` with
    the user's own line when the code there raises. What is found need not be a block, see
    `signatures.check_target`.
    """
    # At the last colon, because a path of Windows has one after its drive.
    container, _, attribute = path.rpartition(":")
    if not container or not all(word.isidentifier() for word in attribute.split(".")):
        raise InputError(f"{path!r} names no class; write {_FORMS}")
    if container.endswith(".py"):
        file, container = Path(container), _shown(Path(container))
        module = _module_of_file(file)
    elif all(word.isidentifier() for word in container.split(".")):
        module = import_module(container)
    else:
        raise InputError(f"{container!r} is neither a .py file nor a module; write {_FORMS}")
    target = _attribute(module, container, attribute)
    name = f"{container}:{attribute}"
    return LoadedBlock(name, target)


def canonical_name(path: str) -> str:
    """Return the one name of a block by its path, however the file is spelled; runs nothing.

    The file is named as it lies on the disk, below the current folder from there on.

    >>> canonical_name(f"{Path.cwd()}/my.py:MyBlock"), canonical_name("./a/../my.py:MyBlock")
    ('my.py:MyBlock', 'my.py:MyBlock')
    >>> canonical_name("package.module:MyBlock")
    'package.module:MyBlock'
    """
    container, _, attribute = path.rpartition(":")
    return f"{_shown(Path(container))}:{attribute}" if container.endswith(".py") else path


def name_of(target: object) -> str:
    """Return the name of the block that a class or function is, its path where it has one.

    >>> name_of(nn.Identity), name_of(lambda: None)
    ('torch.nn.modules.linear:Identity', '<lambda>')
    """
    qualified = str(getattr(target, "__qualname__", type(target).__qualname__))
    module = sys.modules.get(getattr(target, "__module__", ""))
    if module is None or "<locals>" in qualified or "<lambda>" in qualified:
        return qualified.rpartition(".")[2]
    if module.__name__ != "__main__" and not module.__name__.startswith(_FILE_MODULE_PREFIX):
        return f"{module.__name__}:{qualified}"
    # A notebook has no file that could be run again.
    file = getattr(module, "__file__", None)
    return canonical_name(f"{file}:{qualified}") if file else qualified


def _shown(file: Path) -> str:
    """Return the file from the current folder on, else from the root, with forward slashes."""
    try:
        there, here = file.resolve(), Path.cwd().resolve()
    except OSError:  # the current folder is gone
        return file.as_posix()
    return (there.relative_to(here) if there.is_relative_to(here) else there).as_posix()


def import_module(name: str) -> ModuleType:
    """Import a module, looking in the current folder last; raises as `load` does."""
    try:
        with _nothing_set_for_good(f"module {name}"):
            module = _imported(name)
    except ModuleNotFoundError as error:
        # The module itself is missing, or else something that its code imports.
        if not _is_or_holds(error.name, name):
            raise BlockError(
                f"module {name} cannot be imported: {describe_error(error)}"
            ) from error
        raise InputError(
            f"there is no module {error.name!r} for {name!r}, neither installed nor in this folder"
        ) from None
    except BlockZooError:
        raise
    # A script may end in `sys.exit()`, which must not end the command that loads it.
    except (Exception, SystemExit) as error:
        claim_failed_module(name)
        raise BlockError(f"module {name} cannot be imported: {describe_error(error)}") from error
    claim_module(module)
    return module


class SetsAtImportWarning(UserWarning):
    """A file has set something for the whole process as it was imported."""


class StaysChangedWarning(SetsAtImportWarning):
    """It has changed what others compute with, which cannot be put back."""


@contextmanager
def _nothing_set_for_good(who: str) -> Iterator[None]:
    """Put back what is set for the whole process meanwhile, and warn that `who` did it.

    What others compute from then on may stay changed by more, a patched function say; that too is
    told.
    """
    before = process_state()
    try:
        yield
    finally:
        undone = put_back(before)
        left = [change for change in changes_since(before) if change.is_arithmetic]
        for verb, changes, end, kind in (
            ("sets", undone, "is put back", SetsAtImportWarning),
            ("changes", left, "stays", StaysChangedWarning),
        ):
            if changes:
                what = ", ".join(change.text for change in changes)
                warnings.warn(
                    f"{who} {verb} {what} for the whole process as it is imported; this {end}",
                    kind,
                    stacklevel=4,
                )


def _module_of_file(file: Path) -> ModuleType:
    path = file.resolve()
    if path not in _files:
        claim_file(path)
        _files[path] = _run_file(file.as_posix(), path)
    return _files[path]


def _run_file(shown: str, path: Path) -> ModuleType:
    """Run a file as a module of its own; what it imports from beside it is found too.

    Messages name the file as `shown`, which is how the user wrote it.
    """
    code, digest = _compiled(shown, path)
    module = ModuleType(f"{_FILE_MODULE_PREFIX}{digest}")
    module.__file__ = str(path)
    if str(path.parent) not in sys.path:
        # Last, so that nothing beside the file hides a library; for good, for imports in functions.
        sys.path.append(str(path.parent))
    # Before the code runs, because dataclasses and pickle look a class's module up there.
    sys.modules[module.__name__] = module
    try:
        with _nothing_set_for_good(shown):
            exec(code, module.__dict__)
    except BlockZooError:
        del sys.modules[module.__name__]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise BlockError(f"{shown} cannot be run: {describe_error(error)}") from error
    return module


def _compiled(shown: str, path: Path) -> tuple[Any, str]:
    """Return the code of a file and a digest of it that comments and layout do not change."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {shown} (looked in {Path.cwd()})") from None
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror}") from error
    try:
        # From bytes, so that an encoding which the file declares is heeded.
        source = importlib.util.decode_source(content)
        tree = ast.parse(source, filename=str(path))
        # Without the `__future__` imports of this file, which `compile` would hand on.
        code = compile(tree, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{shown} is not Python: {describe_error(error)}") from error
    # The source that runs, wherever one is looked up: the file may be edited meanwhile.
    linecache.cache[str(path)] = len(content), None, source.splitlines(keepends=True), str(path)
    return code, code_digest(tree)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        here = str(Path.cwd())
        if here in sys.path or not _is_or_holds(error.name, name):
            raise
    sys.path.append(here)  # an installed command, unlike `python -m`, does not look there
    # A file written since the folder was last looked into would be missed.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if _is_or_holds(error.name, name):
            sys.path.remove(here)
        raise


def _is_or_holds(module: str | None, name: str) -> bool:
    """Tell whether `name` is that module or lies in that package."""
    return module is not None and f"{name}.".startswith(f"{module}.")


def _attribute(module: ModuleType, container: str, attribute: str) -> Any:
    try:
        return functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        known = tuple(_block_names(module))
    if not known:
        raise InputError(f"there is no class {attribute!r} in {container}, nor any other block")
    raise UnknownNameError(f"class of {container}", attribute, known)


def _block_names(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        is_class = isinstance(value, type) and issubclass(value, nn.Module)
        if (is_class or inspect.isfunction(value)) and value.__module__ == module.__name__:
            yield name
