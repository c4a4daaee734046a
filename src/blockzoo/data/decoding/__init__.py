"""Image files decoded once, to a fixed size, and kept."""
