"""Stores of an older layout, brought up to date by Alembic; imported only where there is one.

A migration is a file in `migrations/versions`, named after the layout that it leads to. All that
are missing run in the one transaction of whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, update

from blockzoo.core.errors import ResultsError
from blockzoo.results.store.reading import parse_record
from blockzoo.results.store.schema import RECORDS, put_rows, rows_of

_MIGRATIONS = Path(__file__).with_name("migrations")
_PART = 200
"""Records that are rewritten at once."""


def migrate(connection: Connection) -> None:
    """Run every migration that the store lacks, in the transaction of the connection.

    >>> from sqlalchemy import create_engine
    >>> from blockzoo.results.store.schema import create_schema, layout_of
    >>> with create_engine("sqlite://").begin() as connection:
    ...     create_schema(connection)
    ...     migrate(connection)  # nothing to do
    ...     layout_of(connection, location="it")
    'layout_2'
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)

    def missing(revision: object, _: MigrationContext) -> object:
        return scripts._upgrade_revs("head", revision)  # type: ignore[arg-type]

    with EnvironmentContext(config, scripts, fn=missing) as environment:
        # In the caller's transaction, which SQLite's tables take part in as well.
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()


def rewrite_records(connection: Connection) -> None:
    """Write every record of layout 1 as layout 2 has it; what cannot be read stays as it is."""
    for rows in _parts(connection):
        for trial_id, payload in rows:
            try:
                record = parse_record(payload, location=trial_id)
            except ResultsError:
                continue
            new = rows_of(record)
            head = {"payload": new.record["payload"]}
            connection.execute(update(RECORDS).where(RECORDS.c.trial_id == trial_id).values(head))
            put_rows(connection, [new], known=())


def _parts(connection: Connection) -> Iterator[list[tuple[str, str | bytes]]]:
    """Yield ids and payloads, some at once, by id."""
    last = ""
    columns = select(RECORDS.c.trial_id, RECORDS.c.payload).order_by(RECORDS.c.trial_id)
    while rows := connection.execute(columns.where(RECORDS.c.trial_id > last).limit(_PART)).all():
        yield [(row.trial_id, row.payload) for row in rows if isinstance(row.payload, str | bytes)]
        last = rows[-1].trial_id
