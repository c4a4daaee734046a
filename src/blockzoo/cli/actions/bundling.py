"""What `results bundle` does: one file of a store, or of what of it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.screen.consoles import say, show_written
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import is_bundle, write_bundle
from blockzoo.results.submissions.choice import BundleChoice


def bundle(place: str, to: Path | None, *, protocol: str | None, blocks: Sequence[str]) -> None:
    """Write the bundle and say how much is in it."""
    if to is None or not is_bundle(to):
        raise InputError(f"--to is {to}; give the name of a bundle, NAME.bundle.zip")
    with open_store(place, create=False) as store:
        _require_blocks(store, blocks)
        choice = BundleChoice.of(store, protocol=protocol, blocks=blocks)
        with TemporaryDirectory() as folder, Store(folder, create=True) as chosen:
            chosen.put_all(record for record in store.each() if choice.takes(record))
            if chosen.is_empty:
                raise InputError(f"{place} holds no such records")
            count = write_bundle(chosen, to)
    show_written(to)
    say(f"{count} records")


def _require_blocks(store: Store, blocks: Sequence[str]) -> None:
    known = {record.block for record in store.listed()} if blocks else set()
    for block in blocks:
        if block not in known:
            raise UnknownNameError("block", block, sorted(known))
