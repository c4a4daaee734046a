"""Series and what records share move out of the payload, into tables of their own."""

from __future__ import annotations

from alembic import op

from blockzoo.results.store.migrating import rewrite_records
from blockzoo.results.store.schema import add_layout_2

revision = "layout_2"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring a store of layout 1 up to layout 2."""
    op.drop_index("ix_records_kind", table_name="records", if_exists=True)
    op.drop_index("ix_records_block", table_name="records", if_exists=True)
    add_layout_2(op.get_bind())
    rewrite_records(op.get_bind())
