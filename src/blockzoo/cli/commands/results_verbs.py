"""`blockzoo results VERB`: what is done with single records and with whole stores.

What is read stands as an argument, what is written to is an option: `--to FILE`, `--into STORE`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.core import ranges

OfBlock = Annotated[str | None, typer.Option("--block", help="Only of this block.")]
OfProtocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="Only of quick, quick2, quick3, lite, classic or v1, or of a label as v1~3f2a9c.",
    ),
]
Into = Annotated[
    str,
    typer.Option("--into", metavar="STORE", help="Where to: folder, file or URL; made if missing."),
]


@examples(
    "blockzoo results list",
    "blockzoo results list machine-a --kind training --status failed",
    "blockzoo results list --block RepMixer --position mid --seed 0 --limit 5",
)
def results_list(
    store: shared_options.Whole = "results",
    block: OfBlock = None,
    positions: shared_options.ShownPositions = None,
    protocol: OfProtocol = None,
    dataset: shared_options.DatasetName = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only cost, latency or training.")
    ] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only ok or failed.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Only trainings of this seed."), ranges.SEED
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", help="Records at most, the newest."), ranges.LISTED
    ] = 50,
) -> None:
    """List records, the newest first, a line each: id, time, kind, status and what was found."""
    from blockzoo.cli.actions import records as action

    filters = {"block": block, "protocol": protocol, "dataset": dataset}
    filters |= {"kind": kind, "status": status}
    given = {name: value for name, value in filters.items() if value is not None}
    action.show_list(store, given, positions or [], seed, limit)


@examples("blockzoo results show 3f2a9c", "blockzoo results show 3f2a9c machine-a")
def results_show(
    trial: Annotated[
        str, typer.Argument(metavar="ID", help="A record's id, or as much as is like no other.")
    ],
    store: shared_options.Whole = "results",
) -> None:
    """Show all fields of one record, its curves and samples in short."""
    from blockzoo.cli.actions import records as action

    action.show_record(store, trial)


@examples(
    "blockzoo results export --to table.parquet",
    "blockzoo results export machine-a --to machine-a.bundle.zip",
)
def results_export(
    store: shared_options.Whole = "results",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Its name says how: .csv, .parquet, .jsonl, .bundle.zip or .npz.",
        ),
    ] = None,
    latencies: Annotated[
        bool, typer.Option("--latencies", help="Write a row for each timing: .csv or .parquet.")
    ] = False,
) -> None:
    """Write all results into a file, as rows, as whole records, or as a bundle to hand on."""
    from blockzoo.cli.actions import records as action

    action.export_store(store, to, latencies=latencies)


@examples(
    "blockzoo results import machine-a.bundle.zip",
    "blockzoo results import everything.jsonl --into together",
)
def results_import(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Bundles: .bundle.zip or .jsonl.")
    ],
    into: Into = "results",
    skip_bad: shared_options.SkipBad = False,
) -> None:
    """Put the records of bundles into a store; all of a bundle, or nothing of it.

    Nothing in a bundle is trusted. Members, sizes, checksums, ranges and text are checked first.
    """
    from blockzoo.cli.actions import results as action

    for bundle in bundles:
        action.import_records(bundle, into, skip_bad=skip_bad)


@examples(
    "blockzoo results merge machine-a machine-b --into together",
    "blockzoo results merge shards/* --into postgresql://USER@HOST/DATABASE",
)
def results_merge(
    stores: Annotated[
        list[str], typer.Argument(metavar="STORE", help="Results folders or stores (file or URL).")
    ],
    into: Into = "results",
    skip_bad: shared_options.SkipBad = False,
) -> None:
    """Put all records of some stores into one; all of a store, or nothing of it.

    An ok record goes before a failed one, and among equals the later one stays. To merge again
    changes nothing.
    """
    from blockzoo.cli.actions import records as action

    action.merge(stores, into, skip_bad=skip_bad)


@examples(
    "blockzoo results bundle --to mine.bundle.zip",
    "blockzoo results bundle machine-a --to lite.bundle.zip --protocol lite --block RepMixer",
)
def results_bundle(
    store: shared_options.Whole = "results",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The bundle: NAME.bundle.zip.")
    ] = None,
    protocol: OfProtocol = None,
    blocks: Annotated[
        list[str] | None, typer.Option("--block", help="Only of this block; repeatable.")
    ] = None,
) -> None:
    """Make one file of a store, to hand in: all of it, or some protocol or blocks.

    Costs and latencies belong to no protocol: those of its scaffolds and blocks come along. The
    blocks that latencies are compared with stay in, so that nothing in the file lacks its baseline.
    """
    from blockzoo.cli.actions import bundling as action

    action.bundle(store, to, protocol=protocol, blocks=blocks or [])


@examples(
    "blockzoo results verify",
    "blockzoo results verify together",
    "blockzoo results verify mine.bundle.zip --rerun 10",
)
def results_verify(
    store: Annotated[
        str,
        typer.Argument(help="A results folder, a store (file or URL), or a bundle (.bundle.zip)."),
    ] = "results",
    rerun: Annotated[
        int | None,
        typer.Option("--rerun", metavar="K", help="Make K trials of a bundle again, by chance."),
        ranges.LISTED,
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="What these are drawn by. (default: one nobody knows before)"),
        ranges.SEED,
    ] = None,
    device: shared_options.Device = "auto",
    data_dir: shared_options.DataDir = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep/--no-keep", help="Whether what came of --rerun is kept in NAME.verified.json."
        ),
    ] = True,
) -> None:
    """Check that a store holds what was put into it, or a bundle what can be and what is.

    Exit status 1 and a line for each fault. Of a bundle also contradictions and missing seeds are
    faults. With `--rerun` each record is compared with the block built here, and a random sample is
    run again. The probability is printed with which that sample would have caught false ones.
    """
    from blockzoo.cli.actions import records as action

    action.verify(store, rerun, seed, device=device, data_dir=data_dir, keep=keep)


@examples(
    "blockzoo results prune --made-good",
    "blockzoo results prune --protocol quick3 --older-than 30 --yes",
)
def results_prune(
    store: shared_options.Whole = "results",
    made_good: Annotated[
        bool,
        typer.Option("--made-good", help="Only failed ones of which there is an ok one too."),
    ] = False,
    block: OfBlock = None,
    protocol: OfProtocol = None,
    dataset: shared_options.DatasetName = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", help="Only those made before."),
        ranges.DAYS,
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them. (default: only list them)")
    ] = False,
) -> None:
    """List records that are to go; with `--yes` remove them for good.

    Of several conditions all must hold. At least one must be given.
    """
    from blockzoo.cli.actions import records as action

    action.prune(store, made_good, block, protocol, dataset, older_than, yes=yes)
