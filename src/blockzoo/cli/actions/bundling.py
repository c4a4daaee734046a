"""What `results bundle` and `results board` do: one file of a store, a store of many files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.screen.consoles import output_console, say, show_written
from blockzoo.core.errors import BundleError, InputError, UnknownNameError
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.board import read_board
from blockzoo.results.submissions.bundle import is_bundle, write_bundle
from blockzoo.results.submissions.choice import BundleChoice
from blockzoo.results.submissions.layout import Origin, require_plain_text


def origin_of(by: str, about: str) -> Origin:
    """Return who hands a bundle in, and what; raises `InputError` for what no bundle may hold."""
    try:
        require_plain_text({"--by": by, "--about": about}, "bundle")
        return Origin(by=by, about=about)
    except BundleError as error:
        raise InputError(str(error)) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InputError(f"--{first['loc'][0]} is too long: {first['msg']}") from None


def bundle(
    place: str, to: Path | None, *, protocol: str | None, blocks: Sequence[str], origin: Origin
) -> None:
    """Write the bundle and say how much is in it."""
    if to is None or not is_bundle(to):
        raise InputError(f"--to is {to or 'missing'}; give the name of a bundle, NAME.bundle.zip")
    with open_store(place, create=False) as store:
        _require_blocks(store, blocks)
        choice = BundleChoice.of(store, protocol=protocol, blocks=blocks)
        with TemporaryDirectory() as folder, Store(folder, create=True) as chosen:
            chosen.put_all(record for record in store.each() if choice.takes(record))
            if chosen.is_empty:
                raise InputError(f"{place} holds no such records")
            count = write_bundle(chosen, to, origin)
    show_written(to)
    say(f"{count} records, {origin.tier}; others check them with: blockzoo results verify {to}")


def _require_blocks(store: Store, blocks: Sequence[str]) -> None:
    known = {record.block for record in store.listed()} if blocks else set()
    for block in blocks:
        if block not in known:
            raise UnknownNameError("block", block, sorted(known))


def board(folder: Path, into: str) -> None:
    """Put the bundles of a board into a store, and show how far each is to be trusted."""
    from blockzoo.report.tables.verification import board_table

    with open_store(into, create=True) as store:
        submissions = read_board(folder, store)
    output_console().print(board_table(submissions))
