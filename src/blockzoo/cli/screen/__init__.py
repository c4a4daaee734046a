"""What a person watches: consoles, progress, live tables."""
