"""The built site: its values are the records', nothing of others' text runs, bytes repeat."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from blockzoo.analysis.ranks import rankings
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.report.site.build import build_site
from blockzoo.report.site.embedding import hash_source
from blockzoo.report.site.folder import LISTING, check_folder
from blockzoo.report.site.wording import file_stem
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.table.csv import read_results_csv
from tests.report.site.boards import HOSTILE, SKILLS, hostile, ordinary, put


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with put(ordinary(), tmp_path_factory.mktemp("ordinary")) as found:
        yield found


@pytest.fixture(scope="module")
def site(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "site"
    build_site(store, folder)
    return folder


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "site"
    with put(hostile(), tmp_path_factory.mktemp("store")) as found:
        build_site(found, folder)
    return folder


class Elements(HTMLParser):
    """What a browser would make of a page: elements with attributes, and the text of some."""

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, str]] = []
        self._open = ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside.append((self._open, data))


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    data: dict[str, Any] = json.loads(found)
    return data


def table_of(page: Path) -> list[dict[str, Any]]:
    """Return the rows of the table, each by key."""
    data = data_of(page)
    rows: list[dict[str, Any]] = [{} for _ in range(data["rows"])]
    for key, column in data["columns"].items():
        if "values" in column:
            values = column["values"]
        else:
            values = [None if code < 0 else column["texts"][code] for code in column["codes"]]
        for row, value in zip(rows, values, strict=True):
            row[key] = value
    return rows


def test_values_are_those_of_the_records(site: Path, store: Store) -> None:
    rows = [r for r in table_of(site / "index.html") if r["usual"] and r["protocol"] == "quick"]
    assert len(rows) == 12
    (row,) = (r for r in rows if (r["block"], r["position"]) == ("MobileOneBlock", "mid"))
    trainings = [
        record
        for record in store.records(kind="training", block="MobileOneBlock")
        if isinstance(record, TrainingRecord) and record.positions == (Position.MID,)
    ]
    values = [record.test_accuracy or 0.0 for record in trainings]
    assert row["accuracy"] == pytest.approx(sum(values) / 4, abs=1e-12)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    # Images are few, so for other images much more is open.
    assert row["new_images_low"] < row["accuracy_low"]
    assert row["new_images_high"] > row["accuracy_high"]
    assert (row["latency_ratio"], row["latency_verdict"]) == (1.4, "faster")
    assert (row["stage_macs"], row["stage_params"], row["macs"]) == (20_000, 400, 50_000)
    assert (row["family"], row["merges"]) == ("reparam", "yes")
    assert (row["seeds"], row["seeds_failed"], row["date"]) == (4, 0, "2026-01-02")
    assert row["page"] == f"blocks/{file_stem('MobileOneBlock')}.html"
    assert (site / row["page"]).is_file()


def test_ranks_and_ties_are_those_of_the_command(site: Path, store: Store) -> None:
    rows = {(r["block"], r["position"]): r for r in table_of(site / "index.html") if r["usual"]}
    every = (r for r in store.records(kind="training") if isinstance(r, TrainingRecord))
    found = [each for each in rankings(every) if each.terms.protocol == "quick"]
    assert len(found) == 3
    for ranking in found:
        for ranked in ranking.rows:
            row = rows[ranked.block, str(ranking.position)]
            if row["protocol"] == "quick":
                assert (row["rank_best"], row["rank_worst"]) == (ranked.best, ranked.worst)
                letters = "".join(chr(ord("a") + n - 1) for n in ranked.groups)
                assert row["tie_groups"] == " ".join(letters)


def test_failures_and_what_was_never_trained_are_shown(site: Path) -> None:
    rows = table_of(site / "index.html")
    (lost,) = (r for r in rows if r["block"] == "RepMixer" and r["position"] == "mid")
    assert (lost["seeds"], lost["seeds_failed"]) == (4, 1)
    assert lost["failures"] == "loss is not finite"
    (alone,) = (r for r in rows if r["block"] == "GhostBottleneckV2")
    assert (alone["group"], alone["accuracy"], alone["seeds"]) == ("not trained", None, 0)
    assert alone["macs"] == 50_000


def test_every_way_of_running_has_a_row_and_one_is_the_usual(site: Path) -> None:
    rows = [r for r in table_of(site / "index.html") if r["protocol"] == "quick"]
    backends = {r["backend"] for r in rows if r["block"] == "RepVGGBlock"}
    assert backends == {"eager", "onnxruntime"}
    assert {r["backend"] for r in rows if r["usual"]} == {"eager"}


def test_protocols_are_told_apart_in_groups(site: Path) -> None:
    groups = {r["group"] for r in table_of(site / "index.html")}
    assert groups == {"digits · quick", "digits · v1", "not trained"}


def test_the_first_view_has_at_most_eight_columns(site: Path) -> None:
    data = data_of(site / "index.html")
    first = [each["key"] for each in data["shown"] if each["first"]]
    assert len(first) == 8
    assert {part for each in data["shown"] for part in each["parts"]} <= {*data["columns"]}


@pytest.mark.parametrize("page", ["index.html", "charts.html", "blocks.html", "methods.html"])
def test_the_policy_names_what_the_page_holds_and_nothing_else(site: Path, page: str) -> None:
    elements = Elements(site / page)
    (policy,) = (
        attributes["content"] or ""
        for tag, attributes in elements.found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == "'none'"
    styles = [text for tag, text in elements.inside if tag == "style"]
    scripts = [text for tag, text in elements.inside if tag == "script"]
    scripts = [text for text in scripts if not text.startswith('{"')]  # data run nowhere
    assert {hash_source("".join(styles))} <= {*rules["style-src"].split()}
    expected = " ".join(map(hash_source, scripts)) or "'none'"
    assert rules["script-src"] == expected


def test_no_page_asks_for_anything(site: Path, hostile_site: Path) -> None:
    for page in [*site.rglob("*.html"), *hostile_site.rglob("*.html")]:
        for tag, attributes in Elements(page).found:
            assert tag not in ("img", "iframe", "object", "embed", "form", "base")
            assert "src" not in attributes
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            if tag == "link":
                assert (attributes["href"] or "").startswith("data:image/svg+xml,")


def test_links_lead_to_pages_that_are_there(site: Path, hostile_site: Path) -> None:
    for page in [*site.rglob("*.html"), *hostile_site.rglob("*.html")]:
        for tag, attributes in Elements(page).found:
            href = attributes.get("href") or ""
            if tag == "a" and not href.startswith(("#", "https://arxiv.org/abs/")):
                assert (page.parent / href).is_file(), (page, href)


def test_text_of_others_is_text(hostile_site: Path) -> None:
    pages = list(hostile_site.rglob("*.html"))
    assert len(pages) > len(HOSTILE)
    scripts = {
        hash_source(text) for p in pages for tag, text in Elements(p).inside if tag != "data"
    }
    assert not any("window.hacked" in text for p in pages for text in _running(p))
    assert len(scripts) > 2
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<script>window" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "49{%" not in text


def _running(page: Path) -> list[str]:
    inside = [text for tag, text in Elements(page).inside if tag == "script"]
    return [text for text in inside if not text.startswith('{"')]


def test_names_of_others_are_told_as_they_are(hostile_site: Path) -> None:
    rows = table_of(hostile_site / "index.html")
    names = {row["block"] for row in rows}
    assert "<script>window.hacked=1</script>" in names
    assert "W" * 900 in names
    assert {row["page"] for row in rows} <= {
        path.relative_to(hostile_site).as_posix() for path in hostile_site.rglob("*.html")
    }


def test_the_same_records_make_the_same_bytes(store: Store, site: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere"
    build_site(store, again)
    assert digests(again) == digests(site)
    # Over a site that is there, too.
    build_site(store, again)
    assert digests(again) == digests(site)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_pages_of_blocks_that_are_gone_go(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build_site(store, out)
    stale = out / "blocks" / f"{file_stem('RepMixer')}.html"
    with put([r for r in ordinary() if r.block != "RepMixer"], tmp_path / "other") as other:
        build_site(other, out)
    assert not stale.exists()
    assert (out / "blocks" / f"{file_stem('RepVGGBlock')}.html").is_file()


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files that are no site"):
        check_folder(tmp_path)
    (tmp_path / LISTING).write_text("../thesis.txt\n/etc/passwd\nblocks/.hidden.html\nthesis.txt\n")
    with put(ordinary()[:1], tmp_path / "store") as store:
        build_site(store, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_store_without_records_is_told(tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store, pytest.raises(InputError, match="no rec"):
        build_site(store, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_all_records_go_along(site: Path, store: Store) -> None:
    assert len(read_results_csv(site / "downloads/results.csv")) == len(SKILLS) * 12 + 6
    with (site / "downloads/latencies.csv").open(newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == 21
    assert (site / "downloads/records.bundle.zip").stat().st_size > 1000


def test_a_page_of_a_block_shows_what_is_known(site: Path) -> None:
    page = (site / "blocks" / f"{file_stem('RepVGGBlock')}.html").read_text(encoding="utf-8")
    for expected in (
        "https://arxiv.org/abs/2101.03697",
        "onnxruntime",
        "digits · quick",
        "20.0 k",
        'class="drawing"',
        "Environment 1",
    ):
        assert expected in page, expected


def test_a_page_of_a_protocol_shows_recipe_and_ranks(site: Path) -> None:
    page = (site / "protocols" / f"{file_stem('quick')}.html").read_text(encoding="utf-8")
    for expected in ("Ranks at early", "Ranks at late", "learning_rate", "Kendall", "depth"):
        assert expected in page, expected


def test_pages_are_small(site: Path) -> None:
    assert (site / "index.html").stat().st_size < 120_000
    assert (site / "charts.html").stat().st_size < 600_000
