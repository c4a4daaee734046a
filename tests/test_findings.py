"""The page of findings is computed from bundles, and there is none without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import write_bundle
from tests.record_samples import latency, training

ROOT = Path(__file__).parent.parent
CONTEXT, BLOCK = "ResNetBasicBlock", "MobileOneBlock"
NOISE = (0.001, -0.001, 0.0, 0.002, -0.002)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_findings

    return make_findings


def lite(block: str, position: str, seed: int, accuracy: float | None, **changes: Any) -> Any:
    where = ("early", "mid", "late") if block == CONTEXT else (position,)
    name = f"{block} {position} {seed}"
    made = {"protocol": "lite", "test_accuracy": accuracy, **changes}
    return training(name, block, where, seed=seed, **made)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """One block two points better early, one worse late; ratios that two backends turn round."""
    records = [lite(CONTEXT, "mid", seed, 0.20 + 0.001 * seed) for seed in range(5)]
    for position, gain in (("early", 0.02), ("mid", 0.0), ("late", -0.01)):
        for seed, noise in enumerate(NOISE):
            accuracy = 0.20 + 0.001 * seed + gain + noise
            records.append(lite(BLOCK, position, seed, accuracy))
    records.append(lite("RepMixer", "mid", 0, None, status="failed", reason="it diverged"))
    for index, block in enumerate("ABCDEF"):
        for backend, ratio in (("eager", 1.0 + index), ("onnxruntime", 7.0 - index)):
            records.append(latency(f"{block} {backend}", block, backend=backend, ratio=ratio))
    with Store(tmp_path / "store", create=True) as store:
        store.put_all(records)
        write_bundle(store, tmp_path / "published.bundle.zip")
    return tmp_path / "published.bundle.zip"


def test_every_number_is_that_of_the_records(script: Any, bundle: Path) -> None:
    page = script.findings(script.records_of([bundle]))
    assert "* 12 records of kind latency, of which 0 failed." in page
    assert "* 21 records of kind training, of which 1 failed." in page
    assert "* 6 placements trained by `lite`, each with 5 seeds." in page
    # 0.1581 points of deviation over 5 seeds: 2.776 * 0.1581 / sqrt(5) = 0.196 either way.
    row = next(line for line in page.splitlines() if line.startswith(f"| `{BLOCK}` | +2.00"))
    assert row == (
        f"| `{BLOCK}` | +2.00 [+1.80, +2.20], better, n = 5 | +0.00 [-0.20, +0.20], equal, n = 5 "
        "| -1.00 [-1.20, -0.80], worse, n = 5 |"
    )
    assert f"* `{BLOCK}`, called exceptional: early +2.00 [+1.80, +2.20], better, n = 5; " in page
    assert f"| `{BLOCK}` | +3.00 [" in page
    assert "early specialist" in page
    assert "* mid, Some CPU, fp32, eager against fp32, onnxruntime: Kendall" in page
    assert "Kendall's tau -1.00 [" in page
    assert "n = 6 blocks" in page


def test_without_a_bundle_there_is_no_page(
    script: Any, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "findings.md"
    monkeypatch.setattr(script, "PAGE", page)
    monkeypatch.setattr(script, "BUNDLES", tmp_path / "none")
    monkeypatch.setattr("sys.argv", ["make_findings.py", "--check"])
    script.main()
    monkeypatch.setattr("sys.argv", ["make_findings.py"])
    with pytest.raises(SystemExit, match=r"there is no bundle in .*none, so there is no page"):
        script.main()
    assert not page.exists()
    monkeypatch.setattr("sys.argv", ["make_findings.py", str(bundle)])
    script.main()
    monkeypatch.setattr("sys.argv", ["make_findings.py", str(bundle), "--check"])
    script.main()
    page.write_text("edited")
    with pytest.raises(SystemExit, match=r"findings\.md is not current"):
        script.main()


def test_the_published_page_is_that_of_the_published_bundles(script: Any) -> None:
    bundles = sorted(script.BUNDLES.glob("*.bundle.zip"))
    assert bool(bundles) == script.PAGE.exists()
    if bundles:
        assert script.findings(script.records_of(bundles)) == script.PAGE.read_text()
