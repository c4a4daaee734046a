"""The pages in a real browser, from files, with the network off: what readers do with them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from blockzoo.analysis.compare import compare_records
from blockzoo.core.position import Position
from blockzoo.report.site import block_pages, build, columns
from blockzoo.report.site.build import board_of, build_site
from blockzoo.report.site.columns import board_data, board_rows
from blockzoo.report.site.comparison_report import Compared, comparison_report
from blockzoo.report.site.corrections import Correction
from blockzoo.report.site.downloads import Downloads
from blockzoo.report.site.embedding import embedded
from blockzoo.report.site.gathering import Gathered
from blockzoo.report.site.pages import filled
from blockzoo.report.site.wording import file_stem
from blockzoo.results.records import Record, TrainingRecord
from tests.report.site.boards import (
    HOSTILE,
    POSITIONS,
    SKILLS,
    hostile,
    hostile_facts,
    ordinary,
    put,
    trained,
)
from tests.report.site.test_build import table_of

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parents[3] / "web/node_modules/axe-core/axe.min.js"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
MANY, ROWS = 450, 5000
COMPARED = {"ordinary": ("RepMixer", "ResNetBasicBlock"), "hostile": (HOSTILE[0], HOSTILE[1])}
LOGS = {
    "ordinary": [
        Correction(date=date(2026, 3, 1), mark="suspect", reason="heat", block="RepMixer"),
        Correction(
            date=date(2026, 3, 2),
            mark="withdrawn",
            reason="other weights",
            block="RepMixer",
            position="late",
        ),
    ],
    "hostile": [
        Correction(date=date(2026, 3, 1), mark="suspect", reason=text, block=text)
        for text in HOSTILE
    ],
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return sites of ordinary records, of hostile text, and of more rows than a page has."""
    found = {}
    many = [r for n in range(MANY) for r in trained(f"Block{n}", "mid", 0.4 + n / 1000, seeds=1)]
    for name, records in {"ordinary": ordinary(), "hostile": hostile(), "many": many}.items():
        found[name] = tmp_path_factory.mktemp(name) / "site"
        with (
            put(records, tmp_path_factory.mktemp("store")) as store,
            pytest.MonkeyPatch.context() as patch,
        ):
            if name == "hostile":
                for module in (columns, block_pages, build):
                    patch.setattr(module, "block_facts", hostile_facts)
            build_site(store, found[name], log=LOGS.get(name, ()))
        report = report_of(records, *COMPARED.get(name, ("Block1", "Block0")))
        (found[name] / "report.html").write_text(report, encoding="utf-8")
    return found


def report_of(records: list[Record], block: str, other: str) -> str:
    """Return the page of a comparison, which stands beside the site to be looked at as well."""
    pairs = compare_records(of_quick(records), block, [other], [Position.MID])
    compared = Compared(pairs=tuple(pairs), margin=0.003, level=0.05)
    return comparison_report([compared], of_quick(records))


def of_quick(records: list[Record]) -> list[TrainingRecord]:
    trainings = (each for each in records if isinstance(each, TrainingRecord))
    return [each for each in trainings if (each.protocol, each.dataset) == ("quick", "digits")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


class Reader:
    """A page in the browser, and all that it said and asked for."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(offline=True, accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: Path, view: str = "") -> Any:
        self.page.goto(f"{path.as_uri()}{view}")
        return self.page

    def check_quiet(self) -> None:
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(("file:", "blob:"))] == []


@pytest.fixture
def reader(browser: Any) -> Iterator[Reader]:
    found = Reader(browser, viewport={"width": 1280, "height": 900})
    yield found
    found.context.close()


def blocks(page: Any) -> list[str]:
    names: list[str] = page.locator(".board tbody th > a").all_inner_texts()
    return names


def places(page: Any) -> list[str]:
    names: list[str] = page.locator(".board tbody .place").all_inner_texts()
    return [name.strip() for name in names]


def test_the_first_view_is_sorted_by_accuracy_in_one_protocol(
    sites: dict[str, Path], reader: Reader
) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    assert blocks(page)[0] == "MobileOneBlock"
    assert len(blocks(page)) == 12
    assert page.locator(".board thead th").count() == 8
    assert page.locator("[role=status]").inner_text() == "12 rows of digits · quick"
    assert "1 failed" in page.locator("tr", has_text="RepMixer").nth(1).inner_text()
    reader.check_quiet()


def test_sorting_by_keyboard_and_back(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    button = page.locator("thead button[data-key=latency]")
    button.focus()
    page.keyboard.press("Enter")
    head = page.locator("thead th:has(button[data-key=latency])")
    assert head.get_attribute("aria-sort") == "ascending"
    assert blocks(page)[0] == "RepMixer"
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert blocks(page)[0] == "MobileOneBlock"
    assert "sort=latency" in page.url
    page.locator("thead button[data-key=ties]").click()
    assert places(page) == [position for position in POSITIONS for _ in SKILLS]
    reader.check_quiet()


def test_filters_search_and_a_link_that_keeps_the_view(
    sites: dict[str, Path], reader: Reader
) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    page.get_by_label("Position").select_option("mid")
    page.get_by_label("Search").fill("rep")
    assert {*blocks(page)} == {"RepVGGBlock", "RepMixer", "MobileOneBlock"}  # of a family
    page.locator(".more summary").click()
    page.get_by_label("Merges branches").select_option("yes")
    page.get_by_label("From year").fill("2022")
    page.get_by_label("From year").press("Tab")
    left = blocks(page)
    assert "RepVGGBlock" not in left
    link = page.url
    page.get_by_role("button", name="Reset").click()
    assert len(blocks(page)) == 12
    assert "#" not in page.url
    other = reader.open(sites["ordinary"] / "methods.html")
    other.goto(link)
    assert blocks(other) == left
    assert other.get_by_label("Search").input_value() == "rep"
    assert other.get_by_label("From year").input_value() == "2022"
    reader.check_quiet()


def test_another_protocol_and_other_ways_of_running(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    page.get_by_label("Data set and protocol").select_option("digits · v1")
    assert blocks(page) == ["RepVGGBlock"]
    page.get_by_label("Data set and protocol").select_option("digits · quick")
    page.locator(".more summary").click()
    page.locator("select[name=backend]").select_option("onnxruntime")
    assert "RepMixer" not in blocks(page)
    assert len(blocks(page)) == 9
    page.get_by_label("Data set and protocol").select_option("not trained")
    page.locator("select[name=backend]").select_option("")
    assert blocks(page) == ["GhostBottleneckV2"]


def test_columns_are_chosen_by_keyboard(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    page.locator(".columns summary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("checkbox", name="Licence").focus()
    page.keyboard.press("Space")
    page.get_by_role("checkbox", name="Date").uncheck()
    page.keyboard.press("Escape")
    assert page.locator(".columns[open]").count() == 0
    heads = [text.strip() for text in page.locator("thead th").all_inner_texts()]
    assert "Licence" in heads
    assert "Date" not in heads
    assert "cols=" in page.url
    reader.check_quiet()


def saved(page: Any, button: str) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        page.locator(button).click()
    with Path(waiting.value.path()).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_saved_is_what_is_shown(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "index.html", "#position=mid&sort=stage_macs&q=rep")
    rows = saved(page, ".save-shown")
    assert [row["block"] for row in rows] == blocks(page)
    assert {row["position"] for row in rows} == {"mid"}
    assert "licence" not in rows[0]
    means = [
        cell.split("\n")[0] for cell in page.locator("tbody td:nth-child(2)").all_inner_texts()
    ]
    assert [f"{100 * float(row['accuracy']):.2f}" for row in rows] == [m.strip() for m in means]
    everything = saved(page, ".save-all")
    known = table_of(sites["ordinary"] / "index.html")
    assert len(everything) == len(known)
    assert [float(r["accuracy"] or "nan") for r in everything if r["accuracy"]] == [
        r["accuracy"] for r in known if r["accuracy"] is not None
    ]
    reader.check_quiet()


def test_long_tables_come_in_pages(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["many"] / "index.html")
    assert len(blocks(page)) == 200
    page.get_by_role("button", name="Next 200").click()
    page.get_by_role("button", name="Next 200").click()
    assert len(blocks(page)) == 50
    assert page.get_by_role("button", name="Next 200").is_disabled()
    assert blocks(page)[-1] == "Block2"  # of three equal ones the last by name
    assert len(saved(page, ".save-shown")) == MANY
    page.get_by_label("Search").fill("block44")
    assert len(blocks(page)) == 11
    reader.check_quiet()


@pytest.fixture(scope="module")
def long_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page of the table with thousands of rows, alone."""
    with put(ordinary(), tmp_path_factory.mktemp("store")) as store:
        gathered = Gathered(store)
        assert len(list(gathered.trainings())) > 0
        usual = [row for row in board_rows(board_of(gathered).standings) if row.usual]
    usual = [row for row in usual if row.standing.variant == "" and row.standing.terms]
    rows = [
        replace(row, standing=replace(row.standing, block=f"{row.standing.block}{number:04}"))
        for number in range(-(-ROWS // len(usual)))
        for row in usual
    ][:ROWS]
    values = {"dated": "", "title": "Many", "data": embedded(board_data(rows)), "blocks": ROWS}
    values |= {"protocols": [], "devices": [], "downloads": Downloads(files=())}
    path = tmp_path_factory.mktemp("long") / "index.html"
    path.write_text(filled("index.html", values, script="board.js"), encoding="utf-8")
    return path


def test_thousands_of_rows_are_sorted_filtered_and_saved(long_table: Path, reader: Reader) -> None:
    page = reader.open(long_table)
    known = table_of(long_table)
    assert len(known) == ROWS
    quick = [row for row in known if row["group"] == "digits · quick"]
    assert page.locator("[role=status]").inner_text().startswith(f"{len(quick):,} rows")
    best = max(quick, key=lambda row: row["accuracy"])
    assert blocks(page)[0] == min(
        row["block"] for row in quick if row["accuracy"] == best["accuracy"]
    )
    page.locator("thead button[data-key=block]").click()
    page.get_by_label("Position").select_option("late")
    page.get_by_label("Search").fill("MobileOneBlock00")
    expected = sorted(
        row["block"]
        for row in quick
        if row["position"] == "late" and row["block"].startswith("MobileOneBlock00")
    )
    assert blocks(page) == expected
    page.get_by_role("button", name="Reset").click()
    assert len(saved(page, ".save-shown")) == len(quick)
    reader.check_quiet()


def test_the_table_is_used_by_keyboard_alone(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    press = page.keyboard.press
    focused = "document.activeElement"
    press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    press("Enter")
    assert page.evaluate(f"{focused}.id") == "main"
    steps(page, f"{focused}.name === 'q'")
    page.keyboard.type("mobileone")
    shown = blocks(page)
    assert shown.count("MobileOneBlock") == 3
    steps(page, f"{focused}.dataset.key === 'latency'")
    press("Space")
    assert "sort=latency" in page.evaluate("location.hash")
    assert sorted(blocks(page)) == sorted(shown)
    steps(page, f"{focused}.matches('tbody th a')")
    name = page.evaluate(f"{focused}.textContent")
    press("Enter")
    page.wait_for_url("**/blocks/*.html")
    assert page.locator("h1").inner_text() == name
    reader.check_quiet()


def steps(page: Any, there: str, most: int = 60) -> None:
    """Press Tab until that is focused."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(there):
            return
    raise AssertionError(f"{most} steps do not lead to {there}")


def test_a_phone_filters_and_scrolls_the_table_within_itself(
    sites: dict[str, Path], browser: Any
) -> None:
    reader = Reader(browser, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = reader.open(sites["ordinary"] / "index.html")
    page.get_by_label("Position").select_option("mid")
    assert {*places(page)} == {"mid"}
    page.locator(".columns summary").tap()
    box = page.locator(".columns fieldset").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.get_by_role("checkbox", name="Licence").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("(b => b.scrollWidth > b.clientWidth)(document.querySelector('.board'))")
    reader.check_quiet()
    reader.context.close()


def test_marks_of_the_log_are_seen_filtered_and_told(
    sites: dict[str, Path], reader: Reader
) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    assert page.locator("tbody .mark").all_inner_texts() == ["suspect", "suspect", "withdrawn"]
    page.locator(".more summary").click()
    page.locator("select[name=mark]").select_option("withdrawn")
    assert (blocks(page), places(page)) == (["RepMixer"], ["late"])
    page.goto((sites["ordinary"] / "changes.html").as_uri())
    first = page.locator("tbody tr").first.inner_text().split()
    assert first[:3] == ["2026-03-02", "withdrawn", "1"]
    reader.check_quiet()


def test_up_to_four_blocks_stand_side_by_side(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "compare.html")
    heads = page.locator("#at-mid table").first.locator("thead th")
    assert heads.count() == 4  # the most accurate three, and what stands in the rows
    page.locator("select[name=block3]").select_option("RepMixer")
    assert [text.strip() for text in heads.all_inner_texts()[1:]] == [
        *("MobileOneBlock", "RepVGGBlock", "ResNetBasicBlock", "RepMixer"),
    ]
    assert page.locator("select[name^=block]").count() == 4
    link = page.url
    cells = page.locator("#at-mid table").first.locator("tbody tr").first.locator("td")
    assert cells.all_inner_texts() == ["88.38", "78.38", "78.38", "68.38"]
    page.locator("select[name=block0]").select_option("")
    assert heads.count() == 4
    page.goto((sites["ordinary"] / "methods.html").as_uri())
    page.goto(link)
    assert heads.count() == 5
    reader.check_quiet()


def test_verdicts_of_pairs_turn_round_with_their_sides(
    sites: dict[str, Path], reader: Reader
) -> None:
    page = reader.open(sites["ordinary"] / "compare.html", "#block=RepMixer&block=ResNetBasicBlock")
    verdict = page.locator("#at-mid table").nth(1).locator("tbody tr").first
    assert verdict.locator("td").first.inner_text() == "worse"
    assert verdict.locator("td").nth(1).inner_text() == "-10.00"
    page.goto("about:blank")
    reader.open(sites["ordinary"] / "compare.html", "#block=ResNetBasicBlock&block=RepMixer")
    assert verdict.locator("td").first.inner_text() == "better"
    assert verdict.locator("td").nth(1).inner_text() == "+10.00"
    reader.check_quiet()


def test_the_map_of_errors_is_read_by_pointer_and_by_keyboard(
    sites: dict[str, Path], reader: Reader
) -> None:
    page = reader.open(sites["ordinary"] / "charts.html")
    reading = page.locator("#reading-errors")
    page.locator("#errors .cell").nth(1).hover()
    assert reading.inner_text().startswith("MobileOneBlock and RepVGGBlock: kappa ")
    page.locator("#errors .cell[tabindex='0']").focus()
    assert reading.inner_text().startswith("MobileOneBlock beside itself: kappa ")
    page.keyboard.press("ArrowDown")
    assert reading.inner_text().startswith("RepVGGBlock and MobileOneBlock: kappa ")
    page.locator("#errors select[name=position]").select_option("late")
    assert "position=late" in page.evaluate("location.hash")
    reader.check_quiet()


@pytest.mark.parametrize("name", ["ordinary", "hostile"])
def test_nothing_is_cut_off_in_print(sites: dict[str, Path], browser: Any, name: str) -> None:
    # A4 across, less its margins, at 96 dots an inch; browsers shrink by half at most.
    reader = Reader(browser, viewport={"width": 1031, "height": 700})
    for path in pages(sites[name]):
        page = reader.open(path)
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 2 * 1031, path
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
    reader.check_quiet()
    reader.context.close()


@pytest.mark.parametrize("width", [390, 800, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_the_screen(
    sites: dict[str, Path], browser: Any, width: int, scheme: str
) -> None:
    reader = Reader(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
    papers = set()
    for path in pages(sites["ordinary"]) + pages(sites["hostile"]):
        page = reader.open(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (path, wide)
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert papers == {"rgb(250, 248, 243)" if scheme == "light" else "rgb(18, 22, 23)"}
    reader.check_quiet()
    reader.context.close()


def pages(site: Path) -> list[Path]:
    """Return a page of each kind."""
    inner = [sorted(site.glob(f"{name}/*.html"))[:2] for name in ("blocks", "devices", "protocols")]
    return [*sorted(site.glob("*.html")), *(path for paths in inner for path in paths)]


def test_text_of_others_never_runs(sites: dict[str, Path], reader: Reader) -> None:
    for path in sorted(sites["hostile"].rglob("*.html")):
        page = reader.open(path)
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main iframe, main object").count() == 0
    page = reader.open(sites["hostile"] / "index.html")
    assert "<script>window.hacked=1</script>" in blocks(page)
    page.locator(".columns summary").click()
    for box in page.locator(".columns input").all():
        box.check()
    page.get_by_label("Search").fill("<script>")
    assert len(blocks(page)) == 1
    rows = saved(page, ".save-all")
    assert any(row["block"].startswith("'=HYPERLINK") for row in rows)
    assert page.evaluate("window.hacked") is None
    page.get_by_label("Search").fill("")
    page.locator(".more summary").click()
    page.locator("select[name=licence]").select_option("<script>window.hacked=1</script>")
    assert blocks(page) == ["<script>window.hacked=1</script>"]
    reader.check_quiet()


def test_points_of_charts_are_reached_by_keyboard(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "charts.html")
    page.locator("#front .points [tabindex='0']").focus()
    first = page.locator("#reading-front").inner_text()
    assert "probability" in first
    page.keyboard.press("ArrowRight")
    second = page.locator("#reading-front").inner_text()
    assert second != first
    page.get_by_label("Cost").select_option("macs")
    assert "cost=macs" in page.url
    assert "macs of the network 50.0 k" in page.locator(
        "#front .points [tabindex='0']"
    ).get_attribute("aria-label")
    page.locator("#positions .points [tabindex='0']").hover()
    assert "points over the context block" in page.locator("#reading-positions").inner_text()
    page.locator("#front summary", has_text="Numbers of this chart").click()
    assert page.get_by_role("region", name="Numbers of the front").locator("tbody tr").count() == 12
    page.locator("#front .points [tabindex='0']").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/blocks/*.html")
    reader.check_quiet()


def test_a_block_of_the_table_leads_to_its_page(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    page.locator("tbody th a", has_text="RepVGGBlock").first.click()
    page.wait_for_url(f"**/{file_stem('RepVGGBlock')}.html")
    assert page.locator("h1").inner_text() == "RepVGGBlock"
    assert page.locator("table caption").first.inner_text() == "Accuracy"
    reader.check_quiet()


def test_print_shows_the_table_whole_and_no_tools(sites: dict[str, Path], reader: Reader) -> None:
    page = reader.open(sites["ordinary"] / "index.html")
    page.emulate_media(media="print")
    assert not page.locator(".tools").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.board')).overflow") == "visible"


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm ci in web/")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["ordinary", "hostile"])
def test_axe_finds_nothing_serious(
    sites: dict[str, Path], browser: Any, name: str, scheme: str
) -> None:
    reader = Reader(browser, viewport={"width": 1000, "height": 900}, color_scheme=scheme)
    for path in pages(sites[name]):
        page = reader.open(path)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run()")
        serious = [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"][:300])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
    reader.context.close()
