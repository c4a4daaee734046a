"""Where records are kept: one database, its schema, what can go wrong with it."""
