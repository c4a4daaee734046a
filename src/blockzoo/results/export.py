"""Results for others: tables of the rows as CSV and Parquet, and bundles of whole records.

A bundle is JSON lines: a header that says how many records follow, then one record per line with
everything that the store has of it. Taking a bundle in gives the same records again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from blockzoo.core.errors import InputError, ResultsError
from blockzoo.core.files import replacing
from blockzoo.results.answers import export_answers
from blockzoo.results.records import SCHEMA_VERSION, AnyRecord
from blockzoo.results.store.database import Store, parse_record
from blockzoo.results.store.schema import check_schema_version, payload_of
from blockzoo.results.table.csv import write_results_csv
from blockzoo.results.table.frame import results_frame


class _Header(BaseModel):
    # JSON of something else, with fields of its own, is then not taken for a header.
    model_config = ConfigDict(extra="forbid")

    blockzoo_bundle: int
    records: int


def export(store: Store, path: str | Path) -> None:
    """Write the store to `path`: rows as .csv or .parquet, whole records as a .jsonl bundle.

    As .npz it is which test images each training answered rightly, see `answers.export_answers`.

    Raises `InputError` for any other suffix and what the writer of that form raises.

    >>> with Store("results", create=True) as store:
    ...     export(store, "rows.csv")
    >>> Path("rows.csv").read_text().startswith("timestamp,block,dataset")
    True
    """
    forms: dict[str, Callable[[Store, str | Path], object]] = {
        ".csv": write_results_csv,
        ".parquet": export_parquet,
        ".jsonl": export_bundle,
        ".npz": export_answers,
    }
    write = forms.get(Path(path).suffix.lower())
    if write is None:
        raise InputError(f"cannot export to {path}; its name must end in {', '.join(forms)}")
    write(store, path)


def export_parquet(store: Store, path: str | Path) -> int:
    """Write the rows of `results.csv` as a Parquet table and return how many there are.

    Raises `ResultsError` without pyarrow (`blockzoo[parquet]`) and when the file cannot be written.
    """
    frame = results_frame(store.records())
    with replacing(path) as scratch:
        try:
            frame.to_parquet(scratch, engine="pyarrow", index=False)
        except ImportError as error:
            raise ResultsError("Parquet needs pyarrow: pip install 'blockzoo[parquet]'") from error
    return len(frame)


def export_bundle(store: Store, path: str | Path) -> int:
    """Write all records of the store to a bundle and return how many there are.

    >>> with Store("mine", create=True) as mine, Store("theirs", create=True) as theirs:
    ...     written = export_bundle(mine, "results.jsonl")
    ...     taken = import_bundle("results.jsonl", theirs)
    >>> written, taken
    (0, 0)
    """
    records = store.records()
    header = _Header(blockzoo_bundle=SCHEMA_VERSION, records=len(records))
    # The same bytes on every system, whatever its line ends.
    with replacing(path) as scratch, scratch.open("w", encoding="utf-8", newline="\n") as file:
        file.write(header.model_dump_json() + "\n")
        file.writelines(payload_of(record) + "\n" for record in records)
    return len(records)


def import_bundle(path: str | Path, store: Store) -> int:
    """Put all records of a bundle into the store, or none, and return how many it holds.

    Records that the store has already stay where they are the better ones (see `Store.put`).
    Raises `ResultsError` for a file that is no bundle, is damaged or truncated, `SchemaError` for
    one of a newer version.
    """
    # All are read and checked before the first is put.
    records = _read_bundle(path)
    store.put_all(records)
    return len(records)


def _read_bundle(path: str | Path) -> list[AnyRecord]:
    try:
        first, *lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        header = _Header.model_validate_json(first)
    except ValidationError:
        raise ResultsError(
            f"{path} is not a BlockZoo bundle: its first line is no header"
        ) from None
    check_schema_version(header.blockzoo_bundle, location=str(path))
    # The last line ends too, so that after it there is nothing.
    if len(lines) != header.records + 1 or lines[-1]:
        raise ResultsError(f"{path} is truncated or damaged: {header.records} records were written")
    return [
        parse_record(line, location=f"{path}, line {number},")
        for number, line in enumerate(lines[:-1], start=2)
    ]
