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
from blockzoo.core.errors import InputError

OfBlock = Annotated[str | None, typer.Option("--block", help="Only of this block.")]
OfProtocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="Only of quick, quick2, quick3, lite, classic or v1, or of a label as v1~3f2a9c.",
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        help="Make N trainings and timings of a bundle again. (default: none)",
    ),
    ranges.LISTED,
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        "--tolerance",
        metavar="POINTS",
        help="By which test accuracies may differ on another platform. "
        "(default: as far as the bundle's other seeds do)",
    ),
    ranges.POINTS,
]
RatioTolerance = Annotated[
    float | None,
    typer.Option(
        "--ratio-tolerance",
        metavar="PERCENT",
        help="By which intervals of latency ratios may lie apart. (default: 2, with 3 processes)",
    ),
    ranges.POINTS,
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
    'blockzoo results bundle --to board/mine.bundle.zip --by "Ada Lovelace"',
    "blockzoo results bundle --to one.bundle.zip --protocol quick3 --block MobileOneBlock",
)
def results_bundle(
    store: shared_options.Whole = "results",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The bundle: NAME.bundle.zip.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Who hands it in.")] = "",
    about: Annotated[str, typer.Option("--about", help="What it holds, in a line.")] = "",
    protocol: OfProtocol = None,
    blocks: Annotated[
        list[str] | None, typer.Option("--block", help="Only of this block; repeatable.")
    ] = None,
) -> None:
    """Make one file of a store, to hand in: all of it, or some protocol or blocks.

    Costs and latencies belong to no protocol: those of its scaffolds and blocks come along. So do
    the blocks that latencies and accuracies are compared with.
    """
    from blockzoo.cli.actions import bundling as action

    origin = action.origin_of(by, about)
    action.bundle(store, to, protocol=protocol, blocks=blocks or [], origin=origin)


@examples("blockzoo results board board --into together")
def results_board(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="That holds the bundles.")],
    into: Into = "results",
) -> None:
    """Put all bundles of a board into a store, and show how far each is to be trusted.

    A trial that several bundles have is of the one that is trusted most, then of the one that was
    verified first.
    """
    from blockzoo.cli.actions import bundling as action

    action.board(folder, into)


@examples(
    "blockzoo results verify",
    "blockzoo results verify together",
    "blockzoo results verify board/mine.bundle.zip",
    "blockzoo results verify board/mine.bundle.zip --sample 10 --record",
)
def results_verify(
    store: Annotated[
        str,
        typer.Argument(help="A results folder, a store (file or URL), or a bundle (.bundle.zip)."),
    ] = "results",
    sample: Sample = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="What they are drawn by. (default: one nobody knows before)"),
        ranges.SEED,
    ] = None,
    tolerance: Tolerance = None,
    ratio_tolerance: RatioTolerance = None,
    device: shared_options.Device = "auto",
    data_dir: shared_options.DataDir = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep what was found beside it: NAME.verified.json.")
    ] = False,
) -> None:
    """Check that a store holds what was put into it, or whether a bundle is what it says.

    Of a bundle everything is checked that needs no training: contradictions, missing seeds, each
    network and id, each cost. Then a random sample is made again. A table says how probably such a
    sample would have caught false results. Exit status 1 and a line for each failure.
    """
    from blockzoo.results.submissions.bundle import is_bundle

    given = (sample, seed, tolerance, ratio_tolerance, data_dir)
    if not is_bundle(store):
        if record or device != "auto" or any(value is not None for value in given):
            raise InputError(
                f"{store} is no bundle, NAME.bundle.zip; other options are for bundles"
            )
        from blockzoo.cli.actions import records as of_stores

        of_stores.verify(store)
        return
    from blockzoo.cli.actions import verifying as action

    request = action.request_of(sample, seed, tolerance, ratio_tolerance, data_dir, device)
    action.verify_bundle(Path(store), request, record=record)


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
