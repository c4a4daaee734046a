"""`blockzoo exported`: what trained networks answer in other backends and in int8."""

from __future__ import annotations

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples


@examples(
    "blockzoo exported --dataset digits --backend onnxruntime --precision fp32 --precision int8",
    "blockzoo exported results --dataset images.npz --backend openvino",
)
def exported(
    source: shared_options.Whole = "results",
    dataset: shared_options.DatasetName = None,
    data_dir: shared_options.DataDir = None,
    backends: shared_options.Backends = None,
    precisions: shared_options.Precisions = None,
) -> None:
    """Show the test accuracy of trained networks as other backends run them, int8 included.

    Of trainings whose weights were kept: `blockzoo train --save-weights`. int8 is calibrated on
    training images.
    """
    from blockzoo.cli.actions import exporting

    exporting.exported(
        source, dataset, data_dir, backends=backends or [], precisions=precisions or []
    )
