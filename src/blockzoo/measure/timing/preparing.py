"""Networks made ready to be timed, each through its backend's gate.

Exporting, compiling and running a network by some backend may crash a process, hang it or take all
its memory. So that happens in a process of its own, where it costs the network at work alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from blockzoo.core.errors import reason_of
from blockzoo.core.processes import Send
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import Devices
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.backends.gate import other_inputs
from blockzoo.measure.timing.backends.pickled import dump_module, load_module_bytes
from blockzoo.measure.timing.clocks import threads_restored
from blockzoo.measure.timing.driver import run_process
from blockzoo.measure.timing.events import Done, Event, Failed, Listener, Prepared, State
from blockzoo.measure.timing.worker import ChildTask, Mark, PackedNetwork

LONGEST_S = 600.0
"""What preparing one network may take before its process is stopped; compilers take minutes."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A module to be timed on `example` (N, ...); `baseline` names the network of its ratio.

    What does not run in eager fp32 must pass its backend's gate, see `backends/gate.py`, before it
    is timed. `model` is bytes where it was prepared already, by `prepared`, in another process.
    `foreign`: its code is not the library's own, so it is watched, see `guard.py`.
    """

    name: str
    model: nn.Module | bytes
    example: Tensor
    way: RunWay = field(default_factory=RunWay)
    baseline: str | None = None
    foreign: bool = False


@dataclass(kw_only=True)
class Preparation:
    """By name: the `payloads` of `Backend.prepare`, or the `failures`."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, Failed] = field(default_factory=dict)

    def add(self, network: Network) -> None:
        """Prepare the network in this process."""
        try:
            self.payloads[network.name] = prepared(network.model, network.example, network.way)
        except Exception as error:  # noqa: BLE001 - a model is foreign code
            self.failures[network.name] = _failure(network.name, error)

    def lacks(self, name: str) -> bool:
        """Tell whether nothing is known of that network yet."""
        return name not in self.payloads and name not in self.failures


def prepare_all(
    networks: Sequence[Network],
    folder: str,
    *,
    here: bool = False,
    listener: Listener | None = None,
) -> Preparation:
    """Prepare all networks and gate what does not run in eager fp32.

    What does, and with `here` everything, is prepared in this process. A network that raises, ends
    its process or keeps it for `LONGEST_S` is among the failures. `folder` is for scratch files;
    `listener` hears what each network is at.
    """
    preparation, travelling = Preparation(), []
    for network in networks:
        if here or network.way.plain or isinstance(network.model, bytes):
            preparation.add(network)
            continue
        try:
            travelling.append(_travelling(network))
        except Exception as error:  # noqa: BLE001 - a model is foreign code
            preparation.failures[network.name] = _failure(network.name, error)

    def forward(event: Event) -> None:
        if listener is None or isinstance(event, Done):  # nothing is timed yet
            return
        if isinstance(event, Prepared):  # without the payload
            listener(State(name=event.name, stage="waiting"))
        else:
            listener(event)

    while travelling:
        task = ChildTask(networks=tuple(travelling), mark_path=Mark.new(folder))
        run = run_process(
            prepare_task, task, hang_s=LONGEST_S, keep_freed_memory=False, listener=forward
        )
        preparation.payloads |= run.prepared
        preparation.failures |= run.failed
        if run.death is not None:
            # Where it died before the first network, a next process would die as well.
            at_fault = (
                [run.death_network]
                if run.death_network
                else [network.name for network in travelling]
            )
            for name in filter(preparation.lacks, at_fault):
                preparation.failures[name] = Failed(name=name, reason=run.death)
        travelling = [network for network in travelling if preparation.lacks(network.name)]
    return preparation


def prepare_task(task: ChildTask, send: Send) -> Done:
    """Prepare the networks of a task, each from its pickled model; raises `DeviceLostError`."""
    mark, devices = (
        Mark(task.mark_path),
        Devices(network.way.device for network in task.networks),
    )
    for index, network in enumerate(task.networks):
        mark.set(index, "preparing")
        send(State(name=network.name, stage="preparing"))
        try:
            model = load_module_bytes(network.payload)
            payload = prepared(model, network.example, network.way)
        except Exception as error:  # noqa: BLE001 - a model is foreign code
            send(_failure(network.name, error))
            devices.check(network.way.device, network.name)
        else:
            send(Prepared(name=network.name, payload=payload))
    return Done()


def _failure(name: str, error: Exception) -> Failed:
    """Return the failure of an error that is being handled."""
    return Failed(name=name, reason=reason_of(error), traceback=traceback.format_exc())


def _travelling(network: Network) -> PackedNetwork:
    return PackedNetwork(
        name=network.name,
        payload=network.model if isinstance(network.model, bytes) else dump_module(network.model),
        example=network.example.cpu(),
        way=network.way,
    )


def prepared(model: nn.Module | bytes, example: Tensor, options: RunWay) -> bytes:
    """Return what a fresh process needs to run `model`; raises `ParityError` at the gate.

    What was prepared already is that itself.
    """
    if isinstance(model, bytes):
        return model
    backend = get_backend(options.backend)
    payload = backend.prepare(model, example, options)
    if options.plain:
        return payload
    with threads_restored():
        loaded = backend.load(payload, example, options)
        try:
            # On others than those that are timed, which it could know by heart.
            backend.check(model, loaded, other_inputs(example), options)
        finally:
            loaded.close()
    return payload
