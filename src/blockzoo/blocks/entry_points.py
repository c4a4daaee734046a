"""Blocks of installed packages: the entry-point group `blockzoo.blocks`.

    [project.entry-points."blockzoo.blocks"]
    MyBlock = "my_package.blocks:MyBlock"    # a class or function; the block has this name
    my_package = "my_package.registered"     # a module that calls `register_block` when imported

Nothing is imported until a block of it is asked for, except the modules, whose blocks have no names
until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from blockzoo.blocks.user_code import Target, import_module, load
from blockzoo.core.errors import BlockError, BlockZooError, InputError

GROUP = "blockzoo.blocks"


def declared_blocks() -> dict[str, metadata.EntryPoint]:
    """Return the entries that name a class or function, by block name.

    Raises `InputError` naming both when two entries have one name.
    """
    return {name: entry for name, entry in _entries().items() if entry.attr}


def import_modules() -> None:
    """Import the entries that are modules; raises what `foreign.load` does, naming the package."""
    for entry in _entries().values():
        if not entry.attr:
            with _naming(entry):
                import_module(entry.module)


def load_entry(entry: metadata.EntryPoint) -> Target:
    """Return the class or function of an entry; raises what `foreign.load` does, naming it."""
    with _naming(entry):
        return load(f"{entry.module}:{entry.attr}").target


def origin(entry: metadata.EntryPoint) -> str:
    """Return what the entry says and whose it is, in words."""
    package = f"package {entry.dist.name} {entry.dist.version}" if entry.dist else "a package"
    return f"entry point {entry.name} = {entry.value} of {package}"


def _entries() -> dict[str, metadata.EntryPoint]:
    entries: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=GROUP):
        other = entries.setdefault(entry.name, entry)
        if origin(other) != origin(entry):
            raise InputError(
                f"block name {entry.name!r} is declared twice: by {origin(other)} "
                f"and by {origin(entry)}; uninstall one"
            )
    return entries


@contextmanager
def _naming(entry: metadata.EntryPoint) -> Iterator[None]:
    """Put the entry and its package before the message of an error."""
    try:
        yield
    except BlockZooError as error:
        kind = BlockError if isinstance(error, BlockError) else InputError
        raise kind(f"{origin(entry)}: {error}") from error
