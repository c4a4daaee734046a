"""What the board of a large store takes: to write, to open, and to sort and filter in a browser.

    python benchmarks/board_scale.py [--records 1000 10000 100000] [--store FOLDER]
        [--output FILE.json] [--page FILE.md]

Stores are those of `large_store.py`; `--store` takes one that is there. `blockzoo site` runs once
in a process of its own. Then Chromium opens the pages from their files, each time anew. Script time
is that of the event's handler, which draws before it returns. What the browser then lays out and
paints is beside it. Needs Playwright and Chromium. `board_scale_page.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from board_scale_page import board_scale_page
from large_store import write_store
from store_scale import Run, run

from blockzoo.measure.machine.environment import describe_environment

LOADS, ACTIONS = 7, 21
PAGES = ("index", "charts", "compare")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One page of a site: its size, and how long after its address it was drawn, each time."""

    records: int
    page: str
    html_mb: float
    drawn_ms: list[float]


@dataclass(frozen=True, kw_only=True)
class Acted:
    """What an action on the table of so many rows took, each time: script, and with layout."""

    records: int
    rows: int
    action: str
    script_ms: list[float]
    with_layout_ms: list[float]


@contextmanager
def browser() -> Iterator[Any]:
    """Yield Chromium without a window."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu"]
        yield driver.chromium.launch(executable_path=path, args=arguments)


# The first row, chart or number is there; scripts of the page run before the document is complete.
_DRAWN = "document.querySelector('.board tbody tr, .chart svg, #compare tbody tr') !== null"
_ACTED = """
([action, value]) => {
  const place = document.querySelector(action);
  const started = performance.now();
  if (place.tagName === "BUTTON") place.click();
  else {
    place.value = value;
    place.dispatchEvent(new Event(place.tagName === "SELECT" ? "change" : "input"));
  }
  const scripted = performance.now();
  document.body.getBoundingClientRect();
  return [scripted - started, performance.now() - started];
}
"""
ACTIONS_OF_TABLE: dict[str, list[tuple[str, str]]] = {
    "sort by accuracy": [("thead button[data-key=accuracy]", "")],
    "sort by block": [("thead button[data-key=block]", "")],
    "filter by position": [("select[name=position]", "mid"), ("select[name=position]", "")],
    "search": [("input[name=q]", "conv"), ("input[name=q]", "")],
}


def opened(chromium: Any, site: Path, records: int) -> list[Opened]:
    """Return how long the pages take to be drawn."""
    found = []
    for name in PAGES:
        path = site / f"{name}.html"
        times = []
        for _ in range(LOADS):
            page = chromium.new_page()
            page.goto(path.as_uri())
            page.wait_for_function(_DRAWN)
            # From the start of navigation to the end of the scripts, which draw.
            times.append(page.evaluate("performance.getEntriesByType('navigation')[0].domComplete"))
            page.close()
        size = path.stat().st_size / 1e6
        found.append(Opened(records=records, page=path.name, html_mb=size, drawn_ms=times))
    return found


def acted(chromium: Any, site: Path, records: int) -> list[Acted]:
    """Return what sorting and filtering all rows of a table takes."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{(site / 'index.html').as_uri()}#way=all")
    rows = page.locator("[role=status]").inner_text().split()[0].replace(",", "")
    found = []
    for name, actions in ACTIONS_OF_TABLE.items():
        pairs = [
            page.evaluate(_ACTED, list(actions[turn % len(actions)])) for turn in range(ACTIONS)
        ]
        script, with_layout = zip(*pairs, strict=True)
        found.append(
            Acted(
                records=records,
                rows=int(rows),
                action=name,
                script_ms=list(script),
                with_layout_ms=list(with_layout),
            )
        )
    page.close()
    return found


def measured(
    store: Path, records: int, scratch: Path
) -> tuple[Run, float, list[Opened], list[Acted]]:
    """Return what it takes to write a store's site, its size in MB, and how its pages behave."""
    site = scratch / "site"
    written = run("site", ["site", "--results", str(store), "--out", str(site)], records)
    pages_mb = sum(path.stat().st_size for path in site.rglob("*.html")) / 1e6
    with browser() as chromium:
        found = written, pages_mb, opened(chromium, site, records), acted(chromium, site, records)
    shutil.rmtree(site)
    return found


def record_of(counts: Sequence[int], given: Path | None) -> dict[str, Any]:
    """Return the record of all sizes; `given` is a store of the only one."""
    runs, sizes, pages, actions = [], [], [], []
    for records in counts:
        with tempfile.TemporaryDirectory() as scratch:
            store = given or Path(scratch) / "store"
            if given is None:
                write_store(store, records)
            written, pages_mb, opened_pages, acted_on = measured(store, records, Path(scratch))
        runs.append(asdict(written))
        sizes.append({"records": records, "pages_mb": pages_mb})
        pages += [asdict(each) for each in opened_pages]
        actions += [asdict(each) for each in acted_on]
        drawn = statistics.median(opened_pages[0].drawn_ms)
        print(f"{records:,}: {written.wall_s:.1f} s; index drawn after {drawn:.0f} ms", flush=True)
    return {
        "runs": runs,
        "sites": sizes,
        "pages": pages,
        "actions": actions,
        "environment": describe_environment(),
    }


def main() -> None:
    """Write the sites, drive the browser, and save a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--store", type=Path, help="a store of that many records, and not a new")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/board_scale.json"))
    parser.add_argument("--page", type=Path, help="also write the page of the record")
    options = parser.parse_args()
    if options.store is not None and len(options.records) != 1:
        parser.error("--store is one store; give --records one number")
    record = record_of(options.records, options.store)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"saved {options.output}")
    if options.page is not None:
        options.page.write_text(board_scale_page(record))


if __name__ == "__main__":
    main()
