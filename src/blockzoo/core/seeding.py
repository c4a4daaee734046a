"""All that is random: seeds derived from texts, and the states of the global generators.

The global generators are Python's, numpy's, torch's and CUDA's. What must be the same whatever else
was drawn has a generator of its own, whose seed is derived from a text that says what it is for.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch

from blockzoo.core.errors import InputError
from blockzoo.core.ranges import SEED

States = dict[str, Any]
_LARGEST_SEED = 2**32 - 1  # that numpy's legacy generator takes


def generator_states(*, gpus: bool = True) -> States:
    """Return the states as plain numbers and tensors, which a checkpoint can hold.

    Without `gpus` those of CUDA are not among them.

    >>> with preserved():
    ...     states = generator_states()
    ...     first = random.random()
    ...     restore_generators(states)
    ...     random.random() == first
    True
    """
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if gpus and torch.cuda.is_available() else [],
    }


def restore_generators(states: States) -> None:
    """Put back what `generator_states` returned, perhaps on a machine with fewer GPUs or none."""
    version, values, gauss = states["python"]
    random.setstate((version, tuple(values), gauss))
    keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"]:  # else nothing is asked of CUDA
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        for gpu, state in enumerate(states["cuda"][:gpus]):
            torch.cuda.set_rng_state(state, gpu)


def derived_seed(text: str) -> int:
    """Return the seed of what `text` names: the same on every machine and for every version.

    >>> derived_seed("0/stem")
    7897747558404903982
    """
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # 63 bits: torch takes no larger number


def derived_generator(text: str) -> torch.Generator:
    """Return a generator of its own, on the CPU, for what `text` names.

    >>> torch.randint(10, (5,), generator=derived_generator("0/epoch 1")).tolist()
    [9, 8, 0, 4, 7]
    """
    return torch.Generator().manual_seed(derived_seed(text))


@contextmanager
def preserved(*, gpus: bool = True) -> Iterator[None]:
    """Give the global generators back as they were, whatever is drawn from them meanwhile.

    Without `gpus` CUDA's are left alone: asking for their states would start CUDA in this process.

    >>> with seeded(0):
    ...     with preserved():
    ...         inside = random.random()
    ...     random.random() == inside
    True
    """
    before = generator_states(gpus=gpus)
    try:
        yield
    finally:
        restore_generators(before)


def seed_for(text: str) -> None:
    """Seed the generators of Python, numpy and torch's CPU for what `text` names; CUDA's stay.

    To be used within `preserved`, which gives the caller's back.

    >>> with preserved(gpus=False):
    ...     seed_for("0/stem")
    ...     first = random.random(), np.random.rand(), float(torch.rand(()))
    ...     seed_for("0/stem")
    ...     first == (random.random(), np.random.rand(), float(torch.rand(())))
    True
    """
    seed = derived_seed(text)
    random.seed(seed)
    np.random.seed(seed & _LARGEST_SEED)
    # The CPU's alone: `torch.manual_seed` would also reach GPUs, whose states are not put back.
    torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(seed: int, *, gpus: bool = True) -> Iterator[None]:
    """Seed the global generators and give them back as they were; raises as `checked_seed` does.

    Without `gpus` CUDA's are neither seeded nor asked for.

    >>> with seeded(3):
    ...     first = torch.rand(2)
    >>> with seeded(3):
    ...     bool((torch.rand(2) == first).all())
    True
    """
    seed = checked_seed(seed)
    with preserved(gpus=gpus):
        random.seed(seed)
        np.random.seed(seed)
        (torch.manual_seed if gpus else torch.default_generator.manual_seed)(seed)
        yield


def checked_seed(seed: SupportsIndex, name: str = "seed") -> int:
    """Return the seed, numpy's whole numbers too, as an int.

    Raises `InputError` for one that is no whole number or that not all generators take.

    >>> checked_seed(np.int64(7))
    7
    """
    try:
        value = index(seed)
    except TypeError:
        raise InputError(f"{name} is {seed!r}; it must be a whole number") from None
    if not SEED.least <= value <= SEED.most:
        raise InputError(f"{name} is {value}; it must be {SEED}")
    return value
