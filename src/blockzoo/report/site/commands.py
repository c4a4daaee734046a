"""The commands that make the numbers of a block again: its trainings, its costs and its timings."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from blockzoo.analysis.standings import Standing
from blockzoo.report.site.facts import usual_dataset
from blockzoo.report.site.wording import plain
from blockzoo.results.records import LatencyRecord, ScaffoldSettings

_SMALL_STEM = ScaffoldSettings.model_fields["stem"].default


def commands_of(standings: Iterable[Standing]) -> tuple[str, ...]:
    """Return a command for each number that one can make again, each once.

    >>> commands_of([])
    ()
    """
    every = list(standings)
    found = [_trainings(each) for each in every]
    found += [_costs(each) for each in every]
    found += [_timings(each, latency) for each in every for latency in each.latencies]
    return tuple(dict.fromkeys(plain(shlex.join(words)) for words in found if words))


def _trainings(standing: Standing) -> Sequence[str]:
    """Return what runs the trainings of a standing; nothing where options are not known.

    Of a protocol that was changed the label does not say how.
    """
    terms, count = standing.terms, len(standing.seeds)
    usual = None if terms is None else usual_dataset(terms.protocol)
    if terms is None or usual is None:
        return ()
    if standing.seeds != tuple(range(count)) or not count:
        return ()
    data = [] if usual == terms.dataset else ["--dataset", terms.dataset]
    words = ["blockzoo", "sweep", standing.block, "--protocol", terms.protocol, *data]
    return [*words, "-p", str(standing.position), "--seeds", str(count)]


def _costs(standing: Standing) -> Sequence[str]:
    scaffold = standing.scaffold
    if standing.cost is None or scaffold.stem != _SMALL_STEM or scaffold.stem_bias:
        return ()
    return ["blockzoo", "profile", standing.block, *_where(standing, batch_size=1)]


def _timings(standing: Standing, latency: LatencyRecord) -> Sequence[str]:
    scaffold, way = standing.scaffold, latency.way
    if latency.baseline is None or scaffold.stem != _SMALL_STEM or scaffold.stem_bias:
        return ()
    blocks = list(dict.fromkeys((latency.baseline, standing.block)))
    return [
        *("blockzoo", "benchmark", *blocks, "--baseline", latency.baseline),
        *_where(standing, batch_size=way.batch_size),
        *("--backend", way.backend, "--precision", way.precision, "--threads", str(way.threads)),
        *("--device", way.device.partition(":")[0], "--cache", way.cache, "--form", way.form),
        *(["--channels-last"] if way.channels_last else []),
    ]


def _where(standing: Standing, *, batch_size: int) -> list[str]:
    scaffold = standing.scaffold
    return [
        *("-p", str(standing.position), "--context", scaffold.context),
        *("--depth", str(scaffold.depth), "--width", str(scaffold.width)),
        *("--classes", str(scaffold.classes), "--input-shape", str(batch_size)),
        *map(str, scaffold.input_shape),
    ]
