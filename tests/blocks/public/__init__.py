"""Blocks as public repositories have them, rewritten small; each names where its kind is found."""
