"""The catalog: every block there is, by name, alias, path or package, and how to search it.

Blocks come from the zoo, from `register_block`, from files and modules by their path, and from
installed packages, which declare them in the entry-point group `blockzoo.blocks`:

    [project.entry-points."blockzoo.blocks"]
    MyBlock = "my_package.blocks:MyBlock"    # a class or function; the block has this name
    my_package = "my_package.registered"     # a module that calls `register_block` when imported

Nothing of a package is imported until a block of it is asked for, except the modules, whose blocks
have no names until then.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata

from blockzoo.blocks import signatures, user_code, user_errors
from blockzoo.blocks import zoo as zoo  # importing it registers every family
from blockzoo.blocks.registry import (
    BlockLike,
    BlockSpec,
    block_of_target,
    register,
    registered,
    registered_blocks,
    registered_names,
    registered_whatever_case,
    unstated_facts,
)
from blockzoo.core.errors import BlockError, BlockZooError, InputError, UnknownNameError
from blockzoo.core.names import SETTING

GROUP = "blockzoo.blocks"

_stand_ins: dict[str, BlockSpec] = {}
"""By the names they were asked for: blocks of users whose code this process does not load."""
_user_blocks: dict[tuple[str, signatures.Target], BlockSpec] = {}
"""Blocks by path that were asked for before, so that one name is one spec in a process."""


def get_block(name: BlockLike) -> BlockSpec:
    """Return the block of that name or alias, of that file or module and class, or that class.

    Args:
        name: A name or alias, where case does not count if one block alone has it.
            `InvertedResidual[expansion=4]` is the block with its knob turned, see `BlockSpec.knob`,
            and `RepVGG[depth=5]` a stage of five. `path/to/file.py:MyBlock` and
            `package.module:MyBlock` need not be registered, nor do blocks that installed packages
            declare. Or a class or function, of a notebook say. A spec is returned as it is.

    Returns:
        The block, ready to be built at any width.

    Raises:
        UnknownNameError: For a name that is not known, with near ones.
        InputError: For a file, module or class that is not there.
        BlockError: For a file or module that cannot be run.

    Example:
        >>> get_block("RepVGG").name, get_block("RepVGG").paper
        ('RepVGGBlock', '2101.03697')
        >>> get_block("repvgg").name
        'RepVGGBlock'
    """
    if isinstance(name, BlockSpec):
        return name
    if not isinstance(name, str):
        return _block_of_object(name)
    if (setting := SETTING.fullmatch(name)) is not None:
        return _at_capacity(*setting.groups())
    spec = registered(name) or _stand_ins.get(name)
    if spec is None and user_code.names_user_code(name):
        return _block_by_path(name)
    if spec is None and name not in _declared_blocks():
        spec = registered_whatever_case(name)
    if spec is None:
        _load_declared(name)
        spec = registered(name) or registered_whatever_case(name)
    if spec is None:
        raise UnknownNameError("block", name, (*registered_names(), *_declared_blocks()))
    return spec


def _at_capacity(name: str, keyword: str, value: str) -> BlockSpec:
    """Return the block of that name with its knob, called `keyword`, at `value`."""
    spec = get_block(name)
    if keyword == "depth":
        return spec.at_depth(int(value) if value.isdecimal() else float(value))
    if keyword != spec.knob:
        knob = f"its knob is {spec.knob}, or depth" if spec.knob else "it takes depth alone"
        raise InputError(f"block {spec.name} takes no {keyword}; {knob}")
    return spec.at_capacity(float(value))


def name_of_block(block: BlockLike) -> str:
    """Return the name as it was given, or that which a class or function stands under.

    >>> name_of_block("RepVGG"), name_of_block(get_block("RepVGG"))
    ('RepVGG', 'RepVGGBlock')
    """
    return block if isinstance(block, str) else get_block(block).name


def is_user_code(name: str) -> bool:
    """Tell whether that block is a user's, whose code this process has not loaded yet.

    >>> is_user_code("my.py:MyBlock"), is_user_code("RepVGG")
    (True, False)
    """
    if registered(name) is not None or name in _stand_ins:
        return False
    return user_code.names_user_code(name) or name in _declared_blocks()


def introduce(name: str, stand_in: BlockSpec) -> None:
    """Let `stand_in` be the block that is asked for by `name`, and by its own name."""
    _stand_ins[name] = _stand_ins[stand_in.name] = stand_in


def forget(names: Iterable[str]) -> None:
    """Undo `introduce` for those names."""
    for name in names:
        stand_in = _stand_ins.pop(name, None)
        if stand_in is not None:
            _stand_ins.pop(stand_in.name, None)


def canonical_name(name: str) -> str:
    """Return the one name that a block has in records, whatever it was asked for by.

    >>> canonical_name("RepVGG"), canonical_name("./mine.py:Mine")
    ('RepVGGBlock', 'mine.py:Mine')

    Runs and imports nothing, so it takes a name that no block has as it is.
    """
    setting = SETTING.fullmatch(name)
    if setting is not None and registered(setting[1]) is not None:
        return get_block(name).name
    spec = registered(name)
    if spec is None and not user_code.names_user_code(name) and name not in _declared_blocks():
        spec = registered_whatever_case(name)
    if spec is not None:
        return spec.name
    return user_code.canonical_name(name) if user_code.names_user_code(name) else name


def list_available_blocks() -> list[str]:
    """Return the names of all registered blocks, sorted, `classic/` ones last.

    Returns:
        The names; those of installed packages are among them.

    Raises:
        InputError: When two blocks have one name.

    Example:
        >>> "RepMixer" in list_available_blocks(), list_available_blocks()[-1]
        (True, 'classic/UniversalInvertedBottleneck')
    """
    _import_modules()
    declared = _declared_blocks()
    for name in declared:
        if registered(name) is not None:
            _register_entry(name)  # raises unless it is this entry's own
    names = {*(spec.name for spec in registered_blocks()), *declared}
    return sorted(names, key=lambda name: ("/" in name, name.casefold()))


def search_blocks(
    words: Iterable[str], *, family: str | None = None, reparameterisable: bool = False
) -> list[BlockSpec]:
    """Return the blocks that hold every word, whatever the case.

    >>> [spec.name for spec in search_blocks(["ghost", "attention"])]
    ['GhostBottleneckV2', 'classic/GhostBottleneckV3']

    A word may be in the name, an alias, the family, the year, the paper, the formula or the notes.
    Raises `UnknownNameError` for an unknown family or one word that is nowhere, and `InputError`
    where no block holds all.
    """
    every = [get_block(name) for name in list_available_blocks()]
    families = sorted({spec.family for spec in every})
    if family is not None and family not in families:
        raise UnknownNameError("family", family, families)
    wanted = list(words)
    matching = [
        spec
        for spec in every
        if family in (None, spec.family)
        # As numbers: where it is not asked for, every block has enough of it.
        and spec.reparameterisable >= reparameterisable
        and all(word.casefold() in _searched_text(spec) for word in wanted)
    ]
    if matching:
        return matching
    raise _nothing_found(wanted, every)


def _nothing_found(words: list[str], every: list[BlockSpec]) -> InputError:
    if len(words) == 1:  # likely a misspelt name
        names = [name for spec in every for name in (spec.name, *spec.aliases)]
        return UnknownNameError("block", words[0], names)
    return InputError(f"no block holds all of: {' '.join(words) or 'these options'}")


def _searched_text(spec: BlockSpec) -> str:
    names = (spec.name, *spec.aliases, spec.family, str(spec.year), spec.paper)
    return "\n".join((*names, spec.formula, spec.notes)).casefold()


def _block_of_object(target: signatures.Target) -> BlockSpec:
    """Return the spec of a class or function, which its name stands for from now on."""
    spec = block_of_target(target)
    if spec is None:
        name = user_code.name_of(target)
        signatures.check_target(target, name)
        # As a block of a module where its name alone is another's.
        name = f"{target.__module__}:{name}" if registered_whatever_case(name) else name
        if (name, target) not in _user_blocks:
            _user_blocks[name, target] = _user_spec(name, target)
        spec = _user_blocks[name, target]
        # In a notebook a class is defined again: the last one is meant.
        _stand_ins[name] = spec
    return spec


def _block_by_path(path: str) -> BlockSpec:
    loaded = _loaded(path)
    if loaded not in _user_blocks:
        _user_blocks[loaded] = _user_spec(*loaded)
    return _user_blocks[loaded]


def _loaded(path: str) -> user_code.LoadedBlock:
    """Find what `path` says; raises as `user_code.load` does, and where it is no block."""
    loaded = user_code.load(path)
    # What is registered may take other arguments, for which it has an adapter.
    if block_of_target(loaded.target) is None:
        signatures.check_target(loaded.target, loaded.name)
    return loaded


def _user_spec(name: str, target: signatures.Target) -> BlockSpec:
    """Return a spec of that name for a class or function, with what it was registered with."""
    spec = block_of_target(target)
    if spec is not None:
        # Aliases lead to one block only, the registered one.
        return replace(spec, name=name, aliases=())
    place = user_errors.place_of(target)
    user_errors.claim(target)
    return BlockSpec(
        name=name,
        factory=signatures.adapted(target),
        defined_at=place,
        **unstated_facts(target, place),
    )


def _load_declared(name: str) -> None:
    """Register what packages declare under that name, or import all modules that may do so."""
    if name in _declared_blocks():
        _register_entry(name)
    else:
        _import_modules()


def _register_entry(name: str) -> None:
    """Register the class or function of an entry point, unless it has registered itself."""
    entry = _declared_blocks()[name]
    with _naming(entry):
        target = _loaded(f"{entry.module}:{entry.attr}").target
    spec = registered(name)
    if spec is None or inspect.unwrap(spec.factory) is not target:
        spec = _user_spec(name, target)
        register(replace(spec, defined_at=f"{spec.defined_at} ({_origin(entry)})"))


def _import_modules() -> None:
    """Import the entries that are modules; an error of `user_code.load` names the package too."""
    for entry in _entries().values():
        if not entry.attr:
            with _naming(entry):
                user_code.import_module(entry.module)


def _declared_blocks() -> dict[str, metadata.EntryPoint]:
    """Return the entries that name a class or function, by block name."""
    return {name: entry for name, entry in _entries().items() if entry.attr}


def _entries() -> dict[str, metadata.EntryPoint]:
    """Return all entries by name; raises `InputError` naming both when two have one name."""
    entries: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=GROUP):
        other = entries.setdefault(entry.name, entry)
        # One package found twice on the path declares the same thing twice, which is no clash.
        if _origin(other) != _origin(entry):
            raise InputError(
                f"block name {entry.name!r} is declared twice: by {_origin(other)} "
                f"and by {_origin(entry)}; uninstall one"
            )
    return entries


def _origin(entry: metadata.EntryPoint) -> str:
    """Return what the entry says and whose it is, in words."""
    package = f"package {entry.dist.name} {entry.dist.version}" if entry.dist else "a package"
    return f"entry point {entry.name} = {entry.value} of {package}"


@contextmanager
def _naming(entry: metadata.EntryPoint) -> Iterator[None]:
    """Put the entry and its package before the message of an error."""
    try:
        yield
    except BlockZooError as error:
        kind = BlockError if isinstance(error, BlockError) else InputError
        raise kind(f"{_origin(entry)}: {error}") from error
