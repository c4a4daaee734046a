"""The zoo: importing this module registers every block that BlockZoo ships."""

from blockzoo.blocks import (
    classic,
    dynamic,
    identity,
    inverted,
    large_kernel,
    modern,
    reparam,
    residual,
)

__all__ = [
    "classic",
    "dynamic",
    "identity",
    "inverted",
    "large_kernel",
    "modern",
    "reparam",
    "residual",
]
