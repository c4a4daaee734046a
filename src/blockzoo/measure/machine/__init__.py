"""The machine: what it is, which devices it has, and what disturbs a measurement there."""
