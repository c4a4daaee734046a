"""Costs that need no clock: operations, memory, traffic, receptive fields."""
