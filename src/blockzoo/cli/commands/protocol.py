"""`blockzoo protocol`: what a protocol holds, and what a changed one has changed."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli.app import examples


@examples(
    "blockzoo protocol list",
    "blockzoo protocol show v1",
    "blockzoo protocol show v1 --set width=32 --set epochs=20",
    "blockzoo protocol show v1~3f2a9c --results results",
)
def protocol(
    verb: Annotated[str, typer.Argument(metavar="list|show", help="All, or one in full.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A published one, or what tables call a changed one."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Show what it is with this setting, such as width=32; repeatable.",
        ),
    ] = None,
    results: Annotated[
        str,
        typer.Option("--results", help="The store in which a changed one is looked up."),
    ] = "results",
) -> None:
    """List the protocols, or show all settings of one.

    A changed protocol has another name, `v1~3f2a9c`, for its results are compared with no other's.
    What it changed is read from the trainings in a store, or found out with `--set`.
    """
    from blockzoo.cli.actions import protocols

    protocols.protocol(verb, name, changes or [], results)
