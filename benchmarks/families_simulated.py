"""Which test finds most in a family of comparisons, and is wrong in 5% at most? By simulation.

    python benchmarks/families_simulated.py --output families_simulated.json

Blocks are compared with one context block over n seeds; a share of them is truly better by two of
a block's deviations over seeds. "found" is the share of those that a test finds, "wrong" how many
families have a finding among the others. "unlike": by how much the logarithms of blocks' deviations
deviate, 0 where all are alike. Moderated t, which BlockZoo does not use, takes variances towards
what the family has in common (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from blockzoo.stats.families import holm, max_t

Values = NDArray[np.float64]
Method = Callable[[Values], Values]
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Design:
    """`n` seeds, `k` comparisons; see the module for the others."""

    n: int
    k: int
    share: float = 0.3
    gain: float = 2.0
    unlike: float = 0.0

    @property
    def better(self) -> int:
        """How many blocks are truly better: the first."""
        return round(self.share * self.k)

    def differences(self, generator: np.random.Generator) -> Values:
        """Draw differences (k, n) from the context."""
        deviations = np.exp(self.unlike * generator.normal(size=(self.k, 1)))
        blocks = deviations * generator.normal(size=(self.k, self.n))
        blocks[: self.better] += self.gain * deviations[: self.better]
        drawn: Values = blocks - generator.normal(size=self.n)
        return drawn


def all_signs(n: int) -> Values:
    """Return half of the patterns of signs (2**(n - 1), n): the others give the same |t|."""
    bits = np.arange(2 ** (n - 1))[:, np.newaxis] >> np.arange(n) & 1
    return 1 - 2 * bits.astype(np.float64)


def flips_with_holm(differences: Values) -> Values:
    """Each comparison by its own sign flips, then Holm."""
    flipped = np.abs(differences @ all_signs(differences.shape[1]).T)
    observed = np.abs(differences.sum(axis=1, keepdims=True))
    return holm((flipped >= observed * (1 - 1e-9)).mean(axis=1))


def t_with_holm(differences: Values) -> Values:
    """Paired t, then Holm."""
    return holm(stats.ttest_1samp(differences, 0, axis=1).pvalue)


def moderated_with_holm(differences: Values) -> Values:
    """Moderated t, then Holm."""
    n = differences.shape[1]
    prior, common = fitted_prior(differences.var(axis=1, ddof=1), n - 1)
    variances = moderated(differences.var(axis=1, ddof=1), n - 1, prior, common)
    t = np.abs(differences.mean(axis=1)) / np.sqrt(variances / n)
    tail = stats.norm.sf(t) if np.isinf(prior) else stats.t.sf(t, n - 1 + prior)
    return holm(2 * tail)


def moderated_max_t(differences: Values) -> Values:
    """Joint sign flips of moderated t, step by step, with the prior of what was observed."""
    n = differences.shape[1]
    means = differences @ all_signs(n).T / n
    squares = (differences**2).sum(axis=1, keepdims=True)
    variances = np.maximum(squares - n * means**2, 1e-12) / (n - 1)
    # The first pattern turns no sign.
    prior, common = fitted_prior(variances[:, 0], n - 1)
    t = np.abs(means) / np.sqrt(moderated(variances, n - 1, prior, common) / n)
    order = np.argsort(-t[:, 0], kind="stable")
    largest = np.maximum.accumulate(t[order[::-1]], axis=0)[::-1]
    steps = (largest >= t[order, :1] * (1 - 1e-9)).mean(axis=1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def fitted_prior(variances: Values, freedom: int) -> tuple[float, float]:
    """Return the degrees of freedom and the variance that a family has in common (Smyth 2004)."""
    logarithms = np.log(variances) - special.digamma(freedom / 2) + np.log(freedom / 2)
    spread = logarithms.var(ddof=1) - special.polygamma(1, freedom / 2)
    if spread <= 0:
        return np.inf, float(np.exp(logarithms.mean()))
    prior = 2 * inverse_trigamma(spread)
    shift = special.digamma(prior / 2) - np.log(prior / 2)
    return prior, float(np.exp(logarithms.mean() + shift))


def inverse_trigamma(value: float) -> float:
    """Return where the trigamma function has that value, by Newton's steps on its inverse."""
    found = 0.5 + 1 / value
    for _ in range(50):
        trigamma = special.polygamma(1, found)
        found += trigamma * (1 - trigamma / value) / special.polygamma(2, found)
    return float(found)


def moderated(variances: Values, freedom: int, prior: float, common: float) -> Values:
    """Return variances taken towards the common one."""
    if np.isinf(prior):
        return np.full_like(variances, common)
    taken: Values = (prior * common + freedom * variances) / (prior + freedom)
    return taken


METHODS: dict[str, Method] = {
    "sign flips, Holm": flips_with_holm,
    "t, Holm": t_with_holm,
    "joint max-T": max_t,
    "moderated t, Holm": moderated_with_holm,
    "moderated max-T": moderated_max_t,
}


def simulated(design: Design, method: Method, families: int, seed: int = 0) -> tuple[float, float]:
    """Return which share of the better blocks is found, and how many families are wrong."""
    generator, found, wrong = np.random.default_rng(seed), 0.0, 0
    for _ in range(families):
        rejected = method(design.differences(generator)) <= LEVEL
        found += rejected[: design.better].mean() if design.better else 0.0
        wrong += bool(rejected[design.better :].any())
    return found / families, wrong / families


DESIGNS = [
    *(Design(n=n, k=32, share=share) for n in (10, 7, 6) for share in (0.3, 0.0)),
    *(Design(n=n, k=32, share=share, unlike=0.5) for n in (10, 7, 6) for share in (0.3, 0.0)),
    *(Design(n=n, k=8, share=share) for n in (7, 6) for share in (0.25, 0.0)),
]


def main() -> None:
    """Simulate, print the table and save the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--families", type=int, default=2000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"{'n':>3} {'k':>3} {'share':>5} {'unlike':>6}  {'test':18} {'found':>6} {'wrong':>6}")
    for design in DESIGNS:
        for name, method in METHODS.items():
            found, wrong = simulated(design, method, arguments.families)
            about = {**asdict(design), "test": name, "families": arguments.families}
            rows.append({**about, "found": round(found, 4), "wrong": round(wrong, 4)})
            print(
                f"{design.n:3} {design.k:3} {design.share:5.0%} {design.unlike:6g}  {name:18} "
                f"{found:6.1%} {wrong:6.1%}",
                flush=True,
            )
    if arguments.output:
        arguments.output.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
