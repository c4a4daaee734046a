"""What `profile` does: what blocks cost in the scaffold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blockzoo.blocks import get_block
from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import (
    chosen_blocks,
    chosen_positions,
    chosen_scaffold,
    chosen_shape,
)
from blockzoo.cli.actions.keeping import fail_if_any_failed, keep, require_usable
from blockzoo.cli.option_groups import ProfileOptions
from blockzoo.cli.screen.consoles import output_console, progress
from blockzoo.core.position import Position
from blockzoo.experiments.profile import CostSettings, profile_blocks
from blockzoo.measure.costs.memory import SGD_STEP
from blockzoo.measure.machine.devices import available_cores, resolve_device
from blockzoo.report.tables import measured
from blockzoo.results.records import CostRecord, Record
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.training.optimisation import step_of
from blockzoo.training.recipe import get_recipe


@blocks_apart
def profile(chosen: ProfileOptions, results: str | None, output: Path | None) -> None:
    """Count what blocks cost and, where a device or a number of runs is given, time them too."""
    recipe = None if chosen.recipe is None else get_recipe(chosen.recipe)
    usual = CostSettings.training_batch_size if recipe is None else recipe.batch_size
    shape, batch = chosen_shape(chosen.input_shape, chosen.batch_size, usual)
    config, device = chosen_scaffold(chosen, shape), chosen.device
    names = chosen_blocks(chosen.blocks, chosen.everything)
    positions = chosen_positions(chosen.positions)
    get_block(config.context)
    resolve_device(device or "cpu")
    require_usable(results, output)
    settings = CostSettings(
        training_batch_size=batch,
        training_step=SGD_STEP if recipe is None else step_of(recipe),
        measured_on=(device or "cpu") if chosen.measure_memory else None,
    )
    records: list[Record] = [*_profiled(names, positions, config, settings)]
    runs = (chosen.warmup_runs, chosen.benchmark_runs)
    if device is not None or any(number is not None for number in runs):
        # What times takes a second to import, which counting alone need not wait for.
        from blockzoo.cli.actions import timing

        # At batch 1, whatever `--batch-size` says: that is the batch of the training step.
        settings_of_runs = timing.latency_settings(device or "auto", 1, *runs)
        records += timing.timed(names, positions, config, settings_of_runs)
    keep(records, results, output)
    fail_if_any_failed(records)


def _profiled(
    names: Sequence[str],
    positions: Sequence[Position],
    config: ScaffoldConfig,
    settings: CostSettings,
) -> list[CostRecord]:
    """Count with a bar shown, and print the tables of the results."""
    measures = settings.measured_on is not None
    with progress("profile") as update:
        costs = profile_blocks(
            names,
            positions,
            config=config,
            settings=settings,
            on_error="record",
            progress=lambda done, total, text: update(done / total, text),
            # Measured peaks are of processes that have the machine to themselves.
            processes=1 if measures else available_cores(),
        )
    output_console().print(measured.cost_table(costs))
    # One network can be shown in full; of many, one table is what can be read.
    if len(costs) == 1 and costs[0].status == "ok":
        output_console().print(measured.parts_table(costs[0]))
        output_console().print(measured.memory_table(costs[0]))
    if measures:
        output_console().print(measured.measured_memory_table(costs))
    return costs
