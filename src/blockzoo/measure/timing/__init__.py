"""Latency: settings, sessions of interleaved rounds in fresh processes, and what samples say."""
