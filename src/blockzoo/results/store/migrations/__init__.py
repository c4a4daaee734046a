"""Steps from an older layout to the present one, run by Alembic."""
