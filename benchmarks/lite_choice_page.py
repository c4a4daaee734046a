"""The record of `lite_choice.py` as a Markdown page: how far a short protocol may be trusted.

python benchmarks/lite_choice_page.py benchmarks/results/lite_choice.json PAGE.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockzoo.stats.paired_seeds import mean_interval
from blockzoo.stats.ranks import Agreement, corrected_for_noise, rank_agreement, reliability

Side = Mapping[str, Any]
_INTRO = """\
# Does `{label}` rank blocks as a longer training does?

The same blocks at position {position}, on the same images, trained for {short} epochs and for
{long}. Which block is better is asked of both."""
_TAU = """\
The interval is Fieller, Hartley and Pearson's. Corrected is what tau would be with endless seeds on
both sides, its interval with the reliabilities taken as known. A reliability is the share of the
variance between mean accuracies that is the blocks' and not the seeds'. No side shares a seed with
the other."""
_SIGNAL = """\
The sum of training losses over the epochs is known before any test image is seen. It is an early
signal and never a verdict."""


def lite_choice_page(record: Mapping[str, Any]) -> str:
    """Return the page of a record of `lite_choice.py`."""
    return "\n".join(_lines(record)) + "\n"


def compared(record: Mapping[str, Any]) -> list[str]:
    """Return the blocks that both sides have with every seed, in the record's order."""
    sides = [record[name]["test_accuracy"] for name in ("short", "long")]
    most = [max(map(len, side.values()), default=0) for side in sides]
    return [
        block
        for block in sides[0]
        if all(len(side.get(block, ())) == n > 1 for side, n in zip(sides, most, strict=True))
    ]


def accuracies(side: Side, blocks: list[str], figure: str = "test_accuracy") -> NDArray[np.float64]:
    """Return one figure of one side, (blocks, seeds)."""
    return np.array([[*side[figure][block].values()] for block in blocks], dtype=np.float64)


def agreement_of(record: Mapping[str, Any]) -> tuple[Agreement, Agreement | None]:
    """Return Kendall's tau of the two sides, as observed and corrected for the seeds' noise."""
    blocks = compared(record)
    short, long = (accuracies(record[name], blocks) for name in ("short", "long"))
    observed = rank_agreement(short.mean(axis=1), long.mean(axis=1))
    return observed, corrected_for_noise(observed, reliability(short), reliability(long))


def signal_of(record: Mapping[str, Any]) -> Agreement:
    """Return tau of the shorter side's summed losses, the lowest first, and the longer's ranks."""
    blocks = compared(record)
    losses = accuracies(record["short"], blocks, "sum_of_train_losses")
    return rank_agreement(-losses.mean(axis=1), accuracies(record["long"], blocks).mean(axis=1))


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    short, long, blocks = record["short"], record["long"], compared(record)
    epochs = {"short": short["epochs"], "long": long["epochs"]}
    yield _INTRO.format(label=short["label"], position=record["position"], **epochs)
    yield ""
    if len(blocks) < 2:
        yield f"{len(blocks)} blocks have two seeds or more on both sides, so nothing is ranked."
        return
    yield from ("## Kendall's tau", "")
    yield from _agreements(record, blocks)
    yield from ("", _TAU, "", _SIGNAL, "", "## Accuracies and seeds", "")
    yield from _table(short, long, blocks)
    yield from _origin(record, blocks)


def _agreements(record: Mapping[str, Any], blocks: list[str]) -> Iterator[str]:
    observed, corrected = agreement_of(record)
    short, long = (reliability(accuracies(record[name], blocks)) for name in ("short", "long"))
    labels = f"{record['short']['label']} against {record['long']['label']}"
    yield f"| {labels} | tau | 95% interval | n |"
    yield "|---|---:|---|---:|"
    yield _row("as observed", observed)
    if corrected is not None:
        yield _row("corrected for the seeds", corrected)
    yield _row("by the sum of training losses", signal_of(record))
    yield ""
    yield f"Reliability: {short:.2f} of {record['short']['label']}, {long:.2f} of the longer one."


def _row(name: str, agreement: Agreement) -> str:
    low, high = agreement.low, agreement.high
    interval = "-" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return f"| {name} | {agreement.tau:.2f} | {interval} | {agreement.n} blocks |"


def _table(short: Side, long: Side, blocks: list[str]) -> Iterator[str]:
    labels = f"{short['epochs']} epochs | deviation | {long['epochs']} epochs | deviation"
    yield f"| block | {labels} | summed losses | seconds |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    means = accuracies(long, blocks).mean(axis=1)
    for index in np.argsort(-means, kind="stable"):
        block = blocks[index]
        cells = [cell for side in (short, long) for cell in _accuracy(side, block)]
        losses, seconds = (
            np.mean([*short[name][block].values()])
            for name in ("sum_of_train_losses", "training_seconds")
        )
        yield f"| `{block}` | {' | '.join(cells)} | {losses:.3f} | {seconds:.0f} |"
    yield ""
    yield (
        "Test accuracies in per cent, with 95% Student-t intervals over seeds. The deviation is "
        "that of single seeds, in points. Losses and seconds are of the shorter side, means."
    )


def _accuracy(side: Side, block: str) -> tuple[str, str]:
    values = 100 * np.array([*side["test_accuracy"][block].values()])
    found = mean_interval(values)
    interval = f" ({found.low:.1f} to {found.high:.1f})" if found.low is not None else ""
    return f"{found.mean:.1f}{interval}", f"{values.std(ddof=1):.2f}"


def _origin(record: Mapping[str, Any], blocks: list[str]) -> Iterator[str]:
    environment = record["environment"]
    counts = [len(record[name]["test_accuracy"][blocks[0]]) for name in ("short", "long")]
    seconds = [
        value
        for of_block in record["short"]["training_seconds"].values()
        for value in of_block.values()
    ]
    yield from ("", "## How it was measured", "")
    yield (
        "`python benchmarks/lite_choice.py STORE`, record `benchmarks/results/lite_choice.json`: "
        f"n = {counts[0]} and {counts[1]} seeds; a short training took {min(seconds):.0f} to "
        f"{max(seconds):.0f} s. {', '.join(record['processors'])}; torch {environment['torch']}, "
        f"Python {environment['python']}; data "
        f"{', '.join(f'`{name}` ({digits})' for name, digits in record['datasets'])}; "
        f"commit {', '.join(record['commits'])}; {record['made'][:10]}."
    )
    for name in ("short", "long"):
        if failed := record[name]["failed"]:
            yield f"\nFailed by {record[name]['label']}: {', '.join(failed)}."


def main() -> None:
    """Write the page of a record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("record", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    arguments.page.write_text(lite_choice_page(json.loads(arguments.record.read_text())))


if __name__ == "__main__":
    main()
