"""Tables for a terminal, by rich."""
