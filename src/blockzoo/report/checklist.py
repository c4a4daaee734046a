"""The answers of a paper's checklist as Markdown."""

from __future__ import annotations

from blockzoo.analysis.checklist import Checklist, Setting, too_few
from blockzoo.stats.accuracy import ALPHA, LEAST_SEEDS, MARGIN

_INTERVALS = f"""\
* Error bars are 95% intervals of the mean over seeds by Student's t. A seed varies the initial
  weights of the whole network, the order of the images and their augmentation. It varies neither
  the split into training and validation nor the test images.
* Two blocks are compared by seed: stem, context and head start from the same weights, and the order
  of the images is the same. The test is a paired t-test, with Holm's adjustment over the family
  that `blockzoo compare` declares before it runs; joint sign flips (max-T) stand beside it.
* "Equal" is two one-sided tests: the 90% interval lies within {100 * MARGIN:g} points, unless
  another margin was recorded. The level of all tests together is {ALPHA:g}.
* Assumed: differences over seeds are about normal. Simulations of the test suite hold coverage from
  3 seeds up where they are, and from 10 where they are skewed. With fewer than {LEAST_SEEDS} seeds
  nothing is concluded.
* Intervals for new test images hold the variance of seeds and of images, by the analysis of
  variance of the kept answers.
* Chosen on validation: the epoch whose weights are tested, and what tuning chooses. The test set is
  read once for each training."""


def checklist_text(found: Checklist) -> str:
    """Return the answers as Markdown, to be put into a paper's appendix.

    >>> from blockzoo.analysis.checklist import checklist
    >>> checklist_text(checklist([])).splitlines()[0]
    '# Checklist of the experiments'
    """
    return "\n".join(
        (
            "# Checklist of the experiments",
            "",
            "## Experimental setting",
            "",
            *(_setting_lines(found) or ["Nothing was trained."]),
            "",
            "## Statistical significance",
            "",
            _INTERVALS,
            "",
            "## Compute",
            "",
            *(_compute_lines(found) or ["Nothing was computed."]),
            "",
            "## Versions",
            "",
            *(f"* {name}: {', '.join(values)}" for name, values in found.versions.items()),
            "",
        )
    )


def _setting_lines(found: Checklist) -> list[str]:
    return [line for setting in found.settings for line in _of_setting(setting)]


def _of_setting(setting: Setting) -> list[str]:
    images = " or ".join(f"{count:,}" for count in setting.test_images) or "not recorded"
    seeds = (
        f"{setting.fewest_seeds}"
        if setting.fewest_seeds == setting.most_seeds
        else f"{setting.fewest_seeds} to {setting.most_seeds}"
    )
    lines = [
        f"* {setting.dataset} (fingerprint {setting.fingerprint[:12] or 'not recorded'}), protocol "
        f"{setting.protocol}: {setting.blocks} blocks in {setting.groups} placements, n = {seeds} "
        f"seeds each; seeds that failed: {setting.failed}; test images: {images}.",
        f"  Recipe: {', '.join(f'{name} {value}' for name, value in setting.recipe)}.",
    ]
    if too_few(setting):
        lines.append(f"  Some have fewer than {LEAST_SEEDS} seeds: no conclusion on these.")
    return lines


def _compute_lines(found: Checklist) -> list[str]:
    lines = [
        f"* Training on {device}: {hours:,.2f} hours."
        for device, hours in found.training_hours.items()
    ]
    lines += [f"* Latencies on {device}: {count:,}." for device, count in found.timings.items()]
    lines += [f"* Failed, {count:,}: {reason}" for reason, count in found.failed_by_reason.items()]
    if found.unsure:
        lines.append(f"* Of {found.unsure:,} results the block could not be described in full.")
    return lines
