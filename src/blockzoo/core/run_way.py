"""How a network is run when it is timed: the one place that spells it.

It lies in `core` because both rooms that need it are siblings and may not import each other:
`measure` runs networks so, `results` records how they were run. It knows names and ranges alone, no
torch; which combinations a backend supports, the backend says.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from blockzoo.core.errors import InputError
from blockzoo.core.ranges import BATCH, THREADS

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
CACHES = ("hot", "cold")
FORMS = ("folded", "deploy")
# Whether there is such a device, `resolve_device` says; this is about what is spelled right.
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,4})?")


@dataclass(frozen=True, kw_only=True)
class RunWay:
    """One way to run a network; all of it is part of what is measured.

    Two ways are equal, and hash alike, where all of this is. Which combinations a backend supports,
    the backend says when it is asked for.

    Args:
        backend: What executes the network: "eager", "compile", "onnxruntime", "openvino" or another
            of the backends that there are.
        precision: Of weights, input and arithmetic: "fp32", "bf16", "fp16" or "int8", which is
            static quantisation of an fp32 network.
        threads: Threads within one operation, on the CPU.
        cache: What a timed call finds in the caches: "hot" what the call before it left, "cold"
            nothing of its own.
        batch_size: Images per call.
        channels_last: Whether tensors of torch have that memory layout.
        device: "cpu", "cuda" or "cuda:N", or "auto" for a GPU where there is one.
        form: Of a block's network "folded", the deploy form with its batch norms folded into the
            layers before them, or "deploy", without that. Any other module is run as it is.

    Raises:
        InputError: For values that cannot be.

    Example:
        >>> way = RunWay(backend="compile", threads=2, batch_size=8)
        >>> way.label()
        'batch 8, fp32, compile, 2 thread(s), cpu'
        >>> len({way, RunWay(batch_size=8, threads=2, backend="compile")})
        1
    """

    backend: str = "eager"
    precision: str = "fp32"
    threads: int = 1
    cache: str = "hot"
    batch_size: int = 1
    channels_last: bool = False
    device: str = "cpu"
    form: str = "folded"

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise InputError(f"device is {self.device!r}; allowed: auto, cpu, cuda, cuda:N")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is {self.precision!r}; allowed: {', '.join(PRECISIONS)}")
        if self.cache not in CACHES:
            raise InputError(f"cache is {self.cache!r}; allowed: {', '.join(CACHES)}")
        THREADS.checked("threads", self.threads)
        BATCH.checked("batch_size", self.batch_size)
        if self.form not in FORMS:
            raise InputError(f"form is {self.form!r}; allowed: {', '.join(FORMS)}")

    @classmethod
    def of(cls, record: object) -> RunWay:
        """Return the way that a record keeps as fields of the same names, as latencies do.

        Args:
            record: Whatever has these fields.

        Raises:
            AttributeError: Where one is missing.
            InputError: For values that cannot be.
        """
        # By name, so that a field that is added here is asked of records and not forgotten.
        return cls(**{field.name: getattr(record, field.name) for field in fields(cls)})

    @property
    def plain(self) -> bool:
        """Whether the network runs as it is, so that there is nothing to compare it with."""
        return self.backend == "eager" and self.precision == "fp32"

    @property
    def on_cuda(self) -> bool:
        """Whether the network runs on a CUDA device."""
        return self.device.startswith("cuda")

    def crossed(
        self,
        *,
        backends: Sequence[str] = (),
        precisions: Sequence[str] = (),
        threads: Sequence[int] = (),
        caches: Sequence[str] = (),
        forms: Sequence[str] = (),
    ) -> tuple[RunWay, ...]:
        """Return every combination of these values, each once; where there are none, its own holds.

        Args:
            backends: See `RunWay`.
            precisions: See `RunWay`.
            threads: See `RunWay`.
            caches: See `RunWay`.
            forms: See `RunWay`.

        Raises:
            InputError: For values that cannot be.

        Example:
            >>> ways = RunWay().crossed(backends=["eager", "compile"], threads=[1, 4])
            >>> [(way.backend, way.threads) for way in ways]
            [('eager', 1), ('eager', 4), ('compile', 1), ('compile', 4)]
        """
        combinations = itertools.product(
            backends or (self.backend,),
            precisions or (self.precision,),
            threads or (self.threads,),
            caches or (self.cache,),
            forms or (self.form,),
        )
        # A choice named twice is one way, not two that would be timed against each other.
        ways = (
            replace(
                self, backend=backend, precision=precision, threads=count, cache=cache, form=form
            )
            for backend, precision, count, cache, form in combinations
        )
        return tuple(dict.fromkeys(ways))

    def label(self, names: Collection[str] | None = None) -> str:
        """Return the way in words for people.

        What goes without saying, hot caches, the usual layout and folded norms, is left out.

        Args:
            names: The fields that are told; by default all.

        Example:
            >>> RunWay(precision="bf16", cache="cold").label(["precision", "cache"])
            'bf16, cold caches'
        """
        # In the order of a title: how much at once, how exact, by what, on what.
        words = {
            "batch_size": f"batch {self.batch_size}",
            "precision": self.precision,
            "backend": self.backend,
            "threads": f"{self.threads} thread(s)",
            "cache": "" if self.cache == "hot" else f"{self.cache} caches",
            "form": "" if self.form == "folded" else "norms not folded",
            "channels_last": "channels last" if self.channels_last else "",
            "device": self.device,
        }
        return ", ".join(
            word for name, word in words.items() if word and (names is None or name in names)
        )


def differing_fields(ways: Iterable[RunWay]) -> tuple[str, ...]:
    """Return the fields in which the ways are not all alike, in the order of the class.

    >>> differing_fields([RunWay(), RunWay(threads=2), RunWay(backend="compile")])
    ('backend', 'threads')
    """
    every = list(ways)
    return tuple(
        field.name
        for field in fields(RunWay)
        if len({getattr(way, field.name) for way in every}) > 1
    )
