"""`blockzoo tune`: the tuned track, and how it compares to the default track."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli.app import examples
from blockzoo.cli.requests import TrainingOptions, spread


@examples(
    "blockzoo tune RepMixer ResNetBasicBlock --position mid --dataset cifar100",
    "blockzoo tune MobileOneBlock -p mid --dataset digits --width 16 --trials 8 --seeds 3",
)
@spread
def tune(
    given: TrainingOptions,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Points tried, best a power of two. (default: 16)"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Seeds afterwards. (default: the protocol's)")
    ] = None,
) -> None:
    """The tuned track: learning rate, weight decay, drop path by validation, then fresh seeds.

    Every block tries the same points with the same seed and the same rule by which hopeless trials
    are stopped; no trial sees a test image. The seeds that follow are kept as protocol
    `NAME+tuned` beside the default track that `sweep` and `train` fill. Stop it at any time and
    run it again.
    """
    from blockzoo.cli.choices import chosen_seeds, csv_location, open_store
    from blockzoo.cli.screen.consoles import load_data, output_console
    from blockzoo.cli.screen.tuning_progress import TuningProgress
    from blockzoo.experiments.tuning.track import run_tuned_track
    from blockzoo.experiments.tuning.tune import TRIALS, TUNING_FILE
    from blockzoo.report.tables.training import tracks_table, trials_table

    request = given.request(seeds=None if seeds is None else chosen_seeds(seeds))
    load_data(request)
    csv, listener, tracks = csv_location(given.results), TuningProgress(), []
    with open_store(given.results, create=True) as store:
        for track in run_tuned_track(
            request,
            store,
            file=csv.parent / TUNING_FILE,
            csv_path=csv,
            trials=TRIALS if trials is None else trials,
            listener=listener,
        ):
            output_console().print(trials_table(track.tuning))
            tracks.append(track)
    if tracks:
        output_console().print(tracks_table(tracks))
    if listener.failures:
        raise typer.Exit(1)
