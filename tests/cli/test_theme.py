from __future__ import annotations

from pathlib import Path

import pytest

from blockzoo.report.figures.colours import theme
from blockzoo.results.store.database import Store
from tests.cli.commands.running import run
from tests.record_samples import cost, latency, training


@pytest.mark.parametrize(("options", "paper"), [((), "#ffffff"), (("--theme", "dark"), "#131416")])
def test_plots_are_drawn_for_light_or_dark_pages(
    options: tuple[str, ...], paper: str, tmp_path: Path
) -> None:
    with Store(tmp_path / "results", create=True) as store:
        store.put_all([training(), cost(), latency()])
    folder = tmp_path / "plots"
    status, _, _ = run(*options, "visualize", str(tmp_path / "results"), "-o", str(folder))
    assert status == 0
    drawn = [path.read_text() for path in folder.glob("*.svg")]
    assert drawn
    assert all(f"fill: {paper}" in text for text in drawn)
    assert theme().paper == "#FFFFFF"  # given back


def test_another_theme_is_refused() -> None:
    status, _, error = run("--theme", "sepia", "visualize", "results")
    assert status == 2
    assert "it is 'sepia'; allowed: light, dark" in error
