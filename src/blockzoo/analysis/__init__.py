"""Records in, frames and verdicts out; never touches torch."""
