"""What `protocol` does: the published protocols, and what one of them or a changed one holds."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.screen.consoles import output_console
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.experiments.protocol import get_protocol, protocol_names
from blockzoo.experiments.protocol_settings import ShownProtocol, from_records, shown
from blockzoo.report.tables.protocols import change_line, protocol_table, protocols_table
from blockzoo.results.records import TrainingRecord

_VERBS = ("list", "show")


def protocol(verb: str, name: str | None, changes: Sequence[str], results: str) -> None:
    """Show the table of protocols, or one of them; raises `InputError` for anything else."""
    if verb not in _VERBS:
        raise UnknownNameError("verb", verb, _VERBS)
    if verb == "list":
        if name is not None or changes:
            raise InputError("list takes no name; `blockzoo protocol show NAME` shows one")
        output_console().print(protocols_table([get_protocol(each) for each in protocol_names()]))
        return
    if name is None:
        raise InputError("name the protocol: `blockzoo protocol show v1`")
    found = _found(name, changes, results)
    console = output_console()
    console.print(protocol_table(found))
    console.print(change_line(found), highlight=False)


def _found(name: str, changes: Sequence[str], results: str) -> ShownProtocol:
    # A digest, or a track of tuning, tells what it stands for to the records alone.
    if "~" not in name and "+tuned" not in name:
        return shown(name, changes)
    if changes:
        raise InputError(f"--set changes a published protocol, and {name} is changed already")
    with open_store(results, create=False) as store:
        listed = store.listed("training", protocol=name)
        records = [each for each in listed if isinstance(each, TrainingRecord)]
    return from_records(name, records, results)
