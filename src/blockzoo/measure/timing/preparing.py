"""Networks made ready to be timed, each through its backend's gate.

Exporting, compiling and running a network by some backend may crash a process, hang it or take all
its memory. So that happens in a process of its own, where it costs the network at work alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockzoo.core.errors import BlockZooError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import Devices
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.backends.pickled import dump_module, load_module_bytes
from blockzoo.measure.timing.driver import Event, mark_file, run_process
from blockzoo.measure.timing.worker import ChildCell, Mark, serve
from blockzoo.stats.paired_rounds import Spent

LONGEST_S = 600.0
"""What preparing one network may take before its process is stopped; compilers take minutes."""


@dataclass(frozen=True, kw_only=True)
class Unprepared:
    """A network to be run by `options`, whose device is called by its own name, on `example`."""

    name: str
    model: nn.Module
    example: Tensor
    options: RunWay


@dataclass(kw_only=True)
class Prepared:
    """By name: the `payloads` of `Backend.prepare`, or message and traceback of `failures`."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def add(self, cell: Unprepared) -> None:
        """Prepare the network in this process."""
        try:
            self.payloads[cell.name] = _prepared(cell.model, cell.example, cell.options)
        except Exception as error:  # noqa: BLE001 - a model is foreign code
            self.failures[cell.name] = (told(error), traceback.format_exc())

    def lacks(self, name: str) -> bool:
        """Tell whether nothing is known of that network yet."""
        return name not in self.payloads and name not in self.failures


@dataclass(frozen=True, kw_only=True)
class PreparingTask:
    """What a preparing process has to do; the payload of a cell is its pickled model."""

    main: ClassVar[str] = "blockzoo.measure.timing.preparing"
    cells: tuple[ChildCell, ...]
    mark_path: str


def prepare_all(
    cells: Sequence[Unprepared],
    folder: str,
    *,
    here: bool = False,
    listener: Callable[[Event], None] | None = None,
) -> Prepared:
    """Prepare all networks and gate what does not run in eager fp32.

    What does, and with `here` everything, is prepared in this process. A network that raises, ends
    its process or keeps it for `LONGEST_S` is among the failures. `folder` is for scratch files;
    `listener` is told what each network is at.
    """
    found, travelling = Prepared(), []
    for cell in cells:
        if here or cell.options.plain:
            found.add(cell)
            continue
        try:
            travelling.append(_travelling(cell))
        except Exception as error:  # noqa: BLE001 - a model is foreign code
            found.failures[cell.name] = (told(error), traceback.format_exc())

    def forward(event: Event) -> None:
        if listener is None:
            return
        if event[0] == "prepared":  # without the payload
            listener(("state", "waiting", event[1]))
        elif event[0] != "done":
            listener(event)

    while travelling:
        task = PreparingTask(cells=tuple(travelling), mark_path=mark_file(folder))
        run = run_process(task, hang_s=LONGEST_S, keep_freed_memory=False, listener=forward)
        found.payloads |= run.prepared
        found.failures |= run.failed
        if run.death is not None:
            blamed = [run.death_cell] if run.death_cell else [cell.name for cell in travelling]
            found.failures |= {name: (run.death, None) for name in blamed if found.lacks(name)}
        travelling = [cell for cell in travelling if found.lacks(cell.name)]
    return found


def main() -> None:
    """Prepare the networks of the task on standard input, and answer on standard output."""
    serve(_work)


def _work(task: PreparingTask, send: Callable[..., None]) -> None:
    mark, devices = Mark(task.mark_path), Devices(cell.options.device for cell in task.cells)
    for index, cell in enumerate(task.cells):
        mark.set(index, "preparing")
        send("state", "preparing", cell.name)
        try:
            model = load_module_bytes(cell.payload)
            payload = _prepared(model, cell.example, cell.options)
        except Exception as error:  # noqa: BLE001 - a model is foreign code
            send("failed", cell.name, told(error), traceback.format_exc())
            devices.check(cell.options.device, cell.name)
        else:
            send("prepared", cell.name, payload)
    send("done", {}, Spent())


def _travelling(cell: Unprepared) -> ChildCell:
    return ChildCell(
        name=cell.name,
        payload=dump_module(cell.model),
        example=cell.example.cpu(),
        options=cell.options,
    )


def _prepared(model: nn.Module, example: Tensor, options: RunWay) -> bytes:
    """Return what a fresh process needs to run `model`; raises `ParityError` at the gate."""
    backend = get_backend(options.backend)
    payload = backend.prepare(model, example, options)
    if options.plain:
        return payload
    threads = torch.get_num_threads()
    loaded = backend.load(payload, example, options)
    try:
        backend.check(model, loaded, example, options)
    finally:
        loaded.close()
        torch.set_num_threads(threads)
    return payload


def told(error: Exception) -> str:
    """Return the reason that is recorded of a cell which raised."""
    return str(error) if isinstance(error, BlockZooError) else f"{type(error).__name__}: {error}"
