"""Rows written as a Parquet table while somebody else reads them too."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from blockzoo.core.errors import ResultsError
from blockzoo.results.table.columns import ColumnType
from blockzoo.results.table.values import Row

_PART = 5000
"""Rows that are kept in memory at once."""


def has_parquet() -> bool:
    """Tell whether pyarrow is installed (`blockzoo[parquet]`).

    >>> has_parquet() in (True, False)
    True
    """
    return importlib.util.find_spec("pyarrow") is not None


def rows_through_parquet(
    rows: Iterable[Row], path: Path, columns: Mapping[str, ColumnType]
) -> Iterator[Row]:
    """Yield the rows, and write those columns of them to a new file, which is whole at the end.

    Text that is not known is "", a number null, as in the tables of `load_results`.

    Args:
        rows: As `result_rows` makes them.
        path: Of the file.
        columns: Names and types.

    Raises:
        ResultsError: Without pyarrow.

    Example:
        >>> list(rows_through_parquet([], Path("rows.parquet"), {"block": "text"}))
        []
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ResultsError("Parquet needs pyarrow: pip install 'blockzoo[parquet]'") from error
    types = {"text": pyarrow.string(), "integer": pyarrow.int64(), "number": pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    coming = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(coming, _PART)):
            made = {name: _column(part, name, kind) for name, kind in columns.items()}
            writer.write_table(pyarrow.Table.from_pydict(made, schema=schema))
            yield from part


def _column(rows: Iterable[Row], name: str, kind: ColumnType) -> list[object]:
    values = (row[name] for row in rows)
    if kind == "text":
        return ["" if value is None else str(value) for value in values]
    return list(values)
