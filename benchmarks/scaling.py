"""The eleven blocks over batch sizes, resolutions and threads; marginals; roofline; then a page.

    python benchmarks/scaling.py --work DIR --output FILE --page docs/measurements/scaling.md

All is in fp32 in eager on the CPU, the scaffold in deploy form, on one thread where the part is not
about threads. Each part leaves a JSON file in the folder; a part that is there is not measured
again. On a quiet machine of two cores all parts take about half an hour. The page and its plots are
drawn from the record, by `scaling_page.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
from scaling_page import write_page

from blockzoo.analysis.scaling import ScalingAxis, scaling_frame
from blockzoo.cli.screen.consoles import progress
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.marginal import Additivity, Marginal, check_additivity, marginal_latencies
from blockzoo.experiments.protocol import ELEVEN_BLOCKS, get_protocol
from blockzoo.experiments.roofline import measure_roofline
from blockzoo.experiments.scaling import measure_scaling
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.report.tables.roofline import roofline_frame
from blockzoo.scaffold.net import ScaffoldConfig

VALUES: dict[ScalingAxis, tuple[int, ...]] = {
    "batch_size": (1, 4, 16),
    "resolution": (32, 64, 128),
    "threads": (1, 2),
}
SETTINGS = ("blocks", "position", "protocol", "processes", "budget_s")
Part = dict[str, Any]


def main() -> None:
    """Measure what the folder lacks, then write the record and the page."""
    arguments = _arguments()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(arguments, name) for name in SETTINGS} | {"form": RunWay().form}
    for name, measure in _parts().items():
        path = work / f"{name}.json"
        if not path.exists():
            _keep(path, measure(arguments), settings)
            print(f"measured {name}", flush=True)
        elif (other := json.loads(path.read_text())["settings"]) != settings:
            sys.exit(f"{path} is of other settings: {other}")
    record = {name: json.loads((work / f"{name}.json").read_text()) for name in _parts()}
    if arguments.output:
        arguments.output.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.page:
        write_page(record, arguments.page)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done so far")
    parser.add_argument("--blocks", nargs="+", default=list(ELEVEN_BLOCKS))
    parser.add_argument("--position", default=str(Position.MID), help="where one is enough")
    parser.add_argument("--protocol", default="v1")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--budget-s", type=float, default=6.0, help="seconds per network and value")
    parser.add_argument("--output", type=Path, help="write the record here")
    parser.add_argument("--page", type=Path, help="write the page here, its plots beside it")
    return parser.parse_args()


def _parts() -> dict[str, Callable[[argparse.Namespace], Part]]:
    return {
        **{axis: _over(axis, values) for axis, values in VALUES.items()},
        "marginal": _rows_of("marginal", marginal_latencies),
        "additivity": _rows_of("additivity", check_additivity),
        "roofline": _roofline,
    }


def _keep(path: Path, found: Part, settings: dict[str, Any]) -> None:
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    part = {"made": made, "environment": describe_environment(), "settings": settings, **found}
    path.write_text(json.dumps(part, indent=1) + "\n")


def _over(axis: ScalingAxis, values: tuple[int, ...]) -> Callable[[argparse.Namespace], Part]:
    def measure(arguments: argparse.Namespace) -> Part:
        with progress(axis) as update:
            records = measure_scaling(
                arguments.blocks,
                arguments.position,
                axis,
                values,
                config=_config(arguments),
                settings=_latency_settings(arguments),
                progress=update,
            )
        timed = [record for record in records if record.status == "ok"]
        frame = scaling_frame(timed).assign(
            samples=[len(record.samples_ms) for record in timed],
            flags=pd.Series([list(record.flags) for record in timed]),
        )
        failed = {record.block: record.reason for record in records if record.status != "ok"}
        return {"rows": frame.to_dict("records"), "failed": failed}

    return measure


def _rows_of(
    name: str, verb: Callable[..., Sequence[Marginal | Additivity]]
) -> Callable[[argparse.Namespace], Part]:
    def measure(arguments: argparse.Namespace) -> Part:
        with progress(name) as update:
            found = verb(
                arguments.blocks,
                config=_config(arguments),
                settings=_latency_settings(arguments),
                progress=update,
            )
        return {"rows": [asdict(each) for each in found]}

    return measure


def _roofline(arguments: argparse.Namespace) -> Part:
    with progress("roofline") as update:
        result = measure_roofline(
            arguments.blocks,
            [arguments.position],
            config=_config(arguments),
            settings=_latency_settings(arguments),
            progress=update,
        )
    return {"peaks": asdict(result.peaks), "rows": roofline_frame(result).to_dict("records")}


def _config(arguments: argparse.Namespace) -> ScaffoldConfig:
    return get_protocol(arguments.protocol).scaffold(classes=10, input_shape=(3, 32, 32))


def _latency_settings(arguments: argparse.Namespace) -> LatencySettings:
    return LatencySettings(processes=arguments.processes, budget_s=arguments.budget_s)


if __name__ == "__main__":
    main()
