"""How long does the published table take on this device? Every cell of it, compiled and measured.

    python benchmarks/table_hours.py --device cuda --output table_hours.json

The table is a protocol's, `classic` by default: eleven blocks at three positions over its seeds and
epochs. Each block has a process of its own that compiles its networks, all processes at once. Then
one after the other, alone on the device, trains `--epochs` epochs of random images per network,
the first of which is dropped: CUDA graphs are recorded in it. A cell's hours are its seconds per
epoch, validation included, times seeds and epochs; compiling, once per network, is not in them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch
from training_throughput import CLASSES, peak_flops, random_images

from blockzoo.experiments.profile import profile_blocks
from blockzoo.experiments.protocol import ELEVEN_BLOCKS, Protocol, get_protocol
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training.fit import FitResult, fit
from blockzoo.training.settings import TrainingSettings

BATCHES_TO_COMPILE = 4


def main() -> None:
    """Compile all at once, measure one after the other, print, save."""
    options = parse()
    protocol = get_protocol(options.protocol)
    blocks = options.blocks or [*protocol.blocks, *ELEVEN_BLOCKS[len(protocol.blocks) :]]
    context = multiprocessing.get_context("spawn")
    connections: dict[str, Connection] = {}
    for block in blocks:
        connections[block], theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, block, options), daemon=True).start()
        theirs.close()
    started = time.perf_counter()
    failed = {block: answer(connection) for block, connection in connections.items()}
    print(f"compiled within {time.perf_counter() - started:.0f} s, {len(blocks)} at once")
    cells: dict[str, dict[str, Any]] = {}
    print(f"{'':44} {'images/s':>9} {'MFU':>6} {'s/epoch':>8} {'hours':>7}", flush=True)
    for block, connection in connections.items():
        with suppress(BrokenPipeError):  # it died
            connection.send("your turn")
        measured = answer(connection)
        for position in options.positions:
            reason = {"reason": failed[block].get(position, "its process ended")}
            cells[f"{block}/{position}"] = measured.get(position, reason)
            show(f"{block}/{position}", cells[f"{block}/{position}"])
        save(options, cells)
    hours = [cell["hours"] for cell in cells.values() if "hours" in cell]
    print(f"{len(hours)} of {len(cells)} cells: {sum(hours):.2f} hours")


def answer(connection: Connection) -> dict[str, Any]:
    """Return what the process found; nothing if it died."""
    try:
        answered: dict[str, Any] = connection.recv()
    except EOFError:
        return {}
    return answered


def show(label: str, cell: dict[str, Any]) -> None:
    """Print one cell of the table, or why it has no figures."""
    if "hours" not in cell:
        print(f"{label:44} {cell['reason']}", flush=True)
        return
    speed, share = f"{cell['images_per_s']:9,.0f}", f"{cell['mfu']:6.1%}"
    print(f"{label:44} {speed} {share} {cell['epoch_s']:8.2f} {cell['hours']:7.3f}", flush=True)


def serve(connection: Connection, block: str, options: argparse.Namespace) -> None:
    """Compile the block's networks, tell which failed and why, wait for the turn, measure."""
    torch.set_num_threads(1)
    failed: dict[str, str] = {}
    protocol = get_protocol(options.protocol)
    few = protocol.recipe.batch_size * BATCHES_TO_COMPILE
    for position in options.positions:
        result = train(block, position, protocol, options.device, images=few, epochs=1)
        if result.not_compiled:
            failed[position] = f"not compiled: {result.not_compiled}"
    connection.send(failed)
    connection.recv()
    cells = {}
    for position in options.positions:
        if position not in failed:
            cells[position] = measure(block, position, protocol, options)
    connection.send(cells)


def measure(
    block: str, position: str, protocol: Protocol, options: argparse.Namespace
) -> dict[str, Any]:
    """Return one cell's speed, and hours of the table."""
    result = train(
        block, position, protocol, options.device, images=options.images, epochs=options.epochs
    )
    steady = result.epochs[1:]
    images_per_s = median(epoch.images_per_s or 0.0 for epoch in steady)
    epoch_s = median(epoch.seconds for epoch in steady)
    (cost,) = profile_blocks([block], [position], config=scaffold(protocol))
    assert cost.train is not None
    peak = peak_flops(torch.device(options.device), result.precision)
    return {
        "images_per_s": images_per_s,
        "epoch_s": epoch_s,
        "hours": epoch_s * protocol.recipe.epochs * len(protocol.seeds) / 3600,
        "mfu": 3 * cost.train.flops * images_per_s / peak,
        "epochs": [(epoch.seconds, epoch.images_per_s) for epoch in result.epochs],
        "precision": result.precision,
        "peak_memory_bytes": result.peak_memory_bytes,
    }


def scaffold(protocol: Protocol) -> ScaffoldConfig:
    """Return the protocol's scaffold for the random images."""
    return protocol.scaffold(classes=CLASSES, input_shape=(3, 32, 32))


def train(
    block: str, position: str, protocol: Protocol, device: str, *, images: int, epochs: int
) -> FitResult:
    """Train one network on that many random images, and validate on a ninth of them."""
    recipe = replace(protocol.recipe, epochs=epochs, warmup_epochs=0.0)
    net, data = ScaffoldNet(block, position, scaffold(protocol)), random_images(images)
    settings = TrainingSettings(dataset=data, recipe=recipe, seed=0, device=device, compiled=True)
    return fit(net, settings)


def save(options: argparse.Namespace, cells: dict[str, dict[str, Any]]) -> None:
    """Write what there is so far, should a later cell be stopped."""
    if options.output:
        record = {
            "cells": cells,
            "options": {key: str(value) for key, value in vars(options).items() if key != "output"},
            "environment": describe_environment(options.device),
        }
        options.output.write_text(json.dumps(record, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    positions = ["early", "mid", "late"]
    parser.add_argument("--protocol", default="classic")
    parser.add_argument("--blocks", nargs="+", help="the protocol's by default, eleven in all")
    parser.add_argument("--positions", nargs="+", choices=positions, default=positions)
    parser.add_argument("--images", type=int, default=45_000, help="training images of an epoch")
    parser.add_argument("--epochs", type=int, default=3, help="measured, the first one dropped")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error(f"--epochs is {options.epochs}; it must be 2 or more, the first is dropped")
    return options


if __name__ == "__main__":
    main()
