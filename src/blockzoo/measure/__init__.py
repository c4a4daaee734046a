"""Measurements: any nn.Module in, a frozen result out; this room knows nothing of blocks."""
