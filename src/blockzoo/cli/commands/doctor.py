"""`blockzoo doctor`: is this machine fit to measure on."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples


@examples("blockzoo doctor", "blockzoo doctor --device cuda", "blockzoo doctor --json")
def doctor(
    device: shared_options.Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON instead.")
    ] = False,
) -> None:
    """Say whether this machine is fit to measure on, and what would make it fitter.

    Takes about three seconds: governor, load, other processes, container limits, the hypervisor,
    noise, the timer, memory and the GPU, where it is the device. Exit status 1 when a line is
    unfit.
    """
    from blockzoo.cli.actions import machine

    machine.doctor(device, as_json=as_json)
