"""What `train`, `sweep` and `tune` are told alike, and the request that it comes to.

Each of these commands has one parameter `given`, an instance of a class below; `spread` shows
typer the fields of that class in its place. An option they share is thus spelled once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from blockzoo.cli import options

if TYPE_CHECKING:
    from blockzoo.experiments.sweep.plan import SweepRequest

_GIVEN = "given"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What to train, on what, how and where to; the fields are options of the command line."""

    blocks: options.Blocks = None
    everything: options.All = False
    positions: options.Positions = None
    protocol: options.ProtocolName = "v1"
    dataset: options.Dataset = None
    data_dir: options.DataDir = None
    skip_bad_images: options.SkipBadImages = False
    robustness: options.Robustness = False
    epochs: options.Epochs = None
    batch_size: options.BatchSize = None
    learning_rate: options.LearningRate = None
    precision: options.Precision = None
    channels_last: options.ChannelsLast = None
    context: options.Context = None
    depth: options.Depth = None
    width: options.Width = None
    stem: options.Stem = None
    device: options.Device = "auto"
    resident: options.Resident = "auto"
    compiled: options.Compiled = False
    resume: options.Resume = True
    on_oom: options.OnOom = "split"
    save_weights: options.SaveWeights = False
    results: options.ResultsDir = "results"
    log: options.Log = None
    experiment_name: options.ExperimentName = ""
    notes: options.Notes = ""

    def request(
        self,
        *,
        seeds: tuple[int, ...] | None,
        latency_budget_s: float | None = None,
        protocols_blocks: bool = False,
    ) -> SweepRequest:
        """Return what is asked for; what is None is as in the protocol.

        With `protocols_blocks` the protocol says which blocks where none is named. Raises
        `InputError` where none is then known, and for whatever value that is not allowed.
        """
        from blockzoo.cli.choices import (
            chosen_blocks,
            chosen_on_oom,
            chosen_positions,
            chosen_resident,
        )
        from blockzoo.experiments.protocol import get_protocol
        from blockzoo.experiments.sweep.plan import SweepRequest
        from blockzoo.training.loggers import LogTo
        from blockzoo.training.run_options import RunOptions

        named = self.blocks or self.everything or not protocols_blocks
        protocol = get_protocol(self.protocol).changed(
            blocks=tuple(chosen_blocks(self.blocks, self.everything)) if named else None,
            positions=chosen_positions(self.positions) if self.positions else None,
            dataset=self.dataset,
            seeds=seeds,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            precision=self.precision,
            channels_last=self.channels_last,
            latency_budget_s=latency_budget_s,
            context=self.context,
            depth=self.depth,
            width=self.width,
            stem=self.stem,
        )
        return SweepRequest(
            protocol=protocol,
            data_dir=self.data_dir,
            skip_bad_images=self.skip_bad_images,
            device=self.device,
            compiled=self.compiled,
            options=RunOptions(
                resident=chosen_resident(self.resident),
                on_oom=chosen_on_oom(self.on_oom),
                checkpoints=self.folder / "checkpoints",
                resume=self.resume,
                save_weights=self.folder / "weights" if self.save_weights else None,
                log_to=LogTo(folder=self.folder / "logs", loggers=tuple(dict.fromkeys(self.log)))
                if self.log
                else None,
                robustness=self.robustness,
                experiment_name=self.experiment_name,
                notes=self.notes,
            ),
        )

    @property
    def folder(self) -> Path:
        """Where results.csv is, and what else trainings leave beside the store."""
        from blockzoo.cli.choices import csv_location

        return csv_location(self.results).parent


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with the fields of its parameter `given` in the place of that parameter."""
    hints = get_type_hints(command, include_extras=True)
    kind: type[TrainingOptions] = hints[_GIVEN]
    shared = {field.name: field.default for field in fields(kind)}
    own = {name: p.default for name, p in inspect.signature(command).parameters.items()}
    del own[_GIVEN]
    annotations = {**get_type_hints(kind, include_extras=True), **hints}

    @functools.wraps(command)
    def told(**values: Any) -> None:
        given = kind(**{name: values.pop(name) for name in shared})
        command(given=given, **values)

    told.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotations[name]
            )
            for name, default in {**shared, **own}.items()
        ]
    )
    told.__annotations__ = {name: annotations[name] for name in (*shared, *own)}
    return told
