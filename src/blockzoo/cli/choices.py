"""From options to the objects that the verbs take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position

if TYPE_CHECKING:
    from blockzoo.data.residence import Residence
    from blockzoo.results.records import Record
    from blockzoo.results.store.database import Store

MOST_SEEDS = 10_000
"""Of one command; by then the seed of the tuning would be reached."""


def chosen_blocks(names: list[str] | None, everything: bool) -> list[str]:
    """Return the canonical names; raises `UnknownNameError`, or `InputError` when none is given."""
    if everything:
        return list_available_blocks()
    if not names:
        raise InputError("no block given; name one or more (see `blockzoo blocks`), or use --all")
    return list(dict.fromkeys(get_block(name).name for name in names))


def chosen_positions(names: list[str] | None) -> tuple[Position, ...]:
    """Return the positions named, in the order early, mid, late; all three when none is."""
    given = {Position.parse(name) for name in names or []}
    return tuple(p for p in POSITIONS if p in given) or POSITIONS


def chosen_seeds(count: int, first: int = 0) -> tuple[int, ...]:
    """Return that many seeds from the first on."""
    if not 1 <= count <= MOST_SEEDS:
        raise InputError(f"seeds is {count}; it must be within 1..{MOST_SEEDS}")
    return tuple(range(first, first + count))


def chosen_shape(
    input_shape: tuple[int, int, int, int] | None, batch_size: int | None, default_batch: int
) -> tuple[tuple[int, int, int], int]:
    """Return (C, H, W) and the batch size of `--input-shape B C H W` and `--batch-size`."""
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch size is {batch_size}; it must be 1 or more")
    if input_shape is None:
        return (3, 32, 32), batch_size or default_batch
    batch, channels, height, width = input_shape
    if batch < 1:
        raise InputError(f"input shape begins with batch {batch}; it must be 1 or more")
    if batch_size is not None and batch_size != batch:
        raise InputError(
            f"--batch-size {batch_size} contradicts --input-shape, whose batch is {batch}"
        )
    return (channels, height, width), batch


def chosen_on_oom(name: str) -> Literal["split", "fail"]:
    """Return what to do where a batch does not fit into memory."""
    if name == "split":
        return "split"
    if name == "fail":
        return "fail"
    raise UnknownNameError("--on-oom", name, ("split", "fail"))


def chosen_threads(text: str) -> int:
    """Return the number of threads; "all" is one for each core that this process may use."""
    from blockzoo.measure.machine.devices import available_cores

    if text == "all":
        return available_cores()
    try:
        return int(text)
    except ValueError:
        raise InputError(f"threads is {text!r}; give a whole number or all") from None


def chosen_resident(name: str) -> Residence:
    """Return whether the images are to lie on the training device."""
    choices: dict[str, Residence] = {"auto": "auto", "yes": True, "no": False}
    if name not in choices:
        raise UnknownNameError("--resident", name, choices)
    return choices[name]


def open_store(results: str, *, create: bool) -> Store:
    """Open the store in that folder, that file, or that database."""
    from blockzoo.results.store.database import STORE_NAME, Store

    if create and "://" not in results and not Path(results).suffix:
        return Store(Path(results) / STORE_NAME, create=True)
    return Store(results, create=create)


def csv_location(results: str) -> Path:
    """Return where results.csv goes: into the folder, or beside the store's file.

    Beside a database URL that is the folder `results` here.
    """
    from blockzoo.results.table.csv import CSV_NAME

    if "://" in results:
        return Path("results") / CSV_NAME
    path = Path(results)
    return (path.parent if path.suffix else path) / CSV_NAME


def keep(records: Sequence[Record], results: str | None, output: Path | None) -> None:
    """Put the records into the store in `results`, and their rows into the file `output`."""
    from blockzoo.results.table.csv import write_results_csv

    if results is not None:
        with open_store(results, create=True) as store:
            for record in records:
                store.put(record)
            write_results_csv(store, csv_location(results))
    if output is not None:
        write_results_csv(records, output)
