"""Blocks that BlockZoo did not write: found by file or module, and called as they are.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from torch import nn

from blockzoo.blocks.source_code import code_digest
from blockzoo.blocks.user_errors import (
    claim_failed_module,
    claim_file,
    claim_module,
    describe_error,
    place_of,
)
from blockzoo.core.errors import BlockError, BlockZooError, InputError, UnknownNameError
from blockzoo.core.position import Position

Target = Callable[..., nn.Module]
EXPECTED_SIGNATURE = "(in_channels, out_channels, stride, position), position may be left out"
_ADAPTER = "(in_channels, out_channels, stride), or with the position as a fourth"
_OURS = ("in_channels", "out_channels", "stride")
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
    `check_target`.
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


def check_target(target: Any, name: str) -> None:
    """Raise `InputError` unless `target` is a module class or a function with our arguments.

    >>> check_target(lambda in_channels, out_channels, stride: nn.Identity(), "mine")
    """
    if isinstance(target, type):
        if not issubclass(target, nn.Module):
            raise InputError(f"class {name} ({place_of(target)}) is not a torch.nn.Module")
    elif not callable(target) or isinstance(target, nn.Module):
        kind = type(target).__name__
        raise InputError(f"{name} is a {kind}, not a class or function that makes blocks")
    if not _takes_by_name(target):
        raise InputError(_other_arguments(target, name))


def _other_arguments(target: Any, name: str) -> str:
    """Return the message about what cannot be called with our arguments, and why not."""
    what = "class" if isinstance(target, type) else "function"
    return (
        f"{what} {name} ({place_of(target)}) takes {_parameters(target)}; "
        f"it must take {EXPECTED_SIGNATURE}; others need a default{_not_supplied(target)}; "
        f"or register it with build=lambda i, o, s: ..."
    )


def registered_factory(target: Target, name: str) -> Target:
    """Return a registered class or function as a factory `(in, out, stride, position)`.

    It is called by our names where it has them, else in our order. Raises `InputError` naming what
    could not be supplied where it can be called neither way.
    """
    if _takes_by_name(target):
        return adapted(target)
    if _takes_in_order(target, 4) is not False:
        return target
    raise InputError(_other_arguments(target, name))


class _ByName:
    """Calls a class or function by the names of our arguments; `__wrapped__` is what it calls."""

    def __init__(self, target: Target) -> None:
        # Without its attributes: those of a class, such as its methods, are none of a function's.
        functools.update_wrapper(self, target, updated=())
        self._target, self._with_position = target, _takes(target, position=True)

    def __call__(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> nn.Module:
        extra = {"position": position} if self._with_position else {}
        return self._target(
            in_channels=in_channels, out_channels=out_channels, stride=stride, **extra
        )


def adapted(target: Target) -> Target:
    """Return `target` as a factory `(in_channels, out_channels, stride, position)`.

    >>> def plain(in_channels, out_channels, stride):
    ...     return nn.Conv2d(in_channels, out_channels, 3, stride, 1)
    >>> adapted(plain)(8, 16, 2, Position.MID).stride
    (2, 2)
    """
    return _ByName(target)


class Adapter:
    """Calls a function that builds what takes other arguments than ours, in our order.

    `__wrapped__` is that function, or the class that it builds once `stand_for` said which. Raises
    `InputError` where the function takes neither three arguments nor four.

    >>> build = Adapter(lambda i, o, s: nn.Conv2d(i, o, 3, s, 1), "Mine")
    >>> build(8, 16, 2, Position.MID).stride
    (2, 2)
    """

    def __init__(self, build: Target, name: str) -> None:
        functools.update_wrapper(self, build, updated=())
        self._build = build
        # A fourth that has a default is the function's own affair.
        self._with_position = _takes_in_order(build, 3) is False
        if self._with_position and not _takes_in_order(build, 4):
            raise InputError(
                f"build of block {name!r} ({place_of(build)}) takes {_parameters(build)}; "
                f"it must take {_ADAPTER}"
            )

    def __call__(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> nn.Module:
        extra = (position,) if self._with_position else ()
        return self._build(in_channels, out_channels, stride, *extra)

    def stand_for(self, target: Target) -> None:
        """Have the class or function `target` be what this adapter builds."""
        functools.update_wrapper(self, target, updated=())


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


def _takes_by_name(target: Target) -> bool:
    return _takes(target, position=True) or _takes(target, position=False)


def _takes(target: Target, *, position: bool) -> bool:
    arguments = (*_OURS, *(("position",) if position else ()))
    try:
        # By name and not by position: blocks of others call their arguments many things.
        signature = inspect.signature(target)
        signature.bind(**dict.fromkeys(arguments))
    except (TypeError, ValueError):
        return False
    # Further keywords are there to be handed on, to a layer that knows of no position.
    return not position or "position" in signature.parameters


def _takes_in_order(target: Target, count: int) -> bool | None:
    """Tell whether it can be called with so many arguments; None where that cannot be known."""
    try:
        inspect.signature(target).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # it is not written in Python
        return None
    return True


def _not_supplied(target: Target) -> str:
    """Return in words what it asks for that nothing gives it, and what of ours it does not take."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return ""
    kinds = inspect.Parameter
    by_name = {
        name
        for name, parameter in parameters.items()
        if parameter.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    }
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is kinds.empty
        and parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        and not (name in by_name and name in (*_OURS, "position"))
    ]
    takes_any = any(each.kind is kinds.VAR_KEYWORD for each in parameters.values())
    refused = [] if takes_any else [name for name in _OURS if name not in by_name]
    said = [f"nothing supplies {', '.join(needed)}"] if needed else []
    said += [f"it has no {', '.join(refused)} by name"] if refused else []
    return "".join(f"; {each}" for each in said)


def _parameters(target: Target) -> str:
    try:
        return f"({', '.join(map(_in_words, inspect.signature(target).parameters.values()))})"
    except (TypeError, ValueError):
        return "arguments that cannot be known"


def _in_words(parameter: inspect.Parameter) -> str:
    stars: dict[object, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    default = "" if parameter.default is inspect.Parameter.empty else "=..."
    return f"{stars.get(parameter.kind, '')}{parameter.name}{default}"
