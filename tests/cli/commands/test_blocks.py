from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.blocks.catalog import search_blocks
from blockzoo.cli.app import app
from blockzoo.contract.lines import contract_lines
from blockzoo.report.tables.zoo import facts_table, sorted_blocks, stage_costs
from tests.report.tables.reading import rows_of


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["blocks", *arguments])


@pytest.mark.parametrize("arguments", [[], ["--no-costs"]])
def test_of_all_blocks_costs_are_counted_only_when_asked(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert all(name in result.stdout for name in list_available_blocks())
    assert "MMACs" not in result.stdout
    assert ("--costs counts what each of them costs" in result.stderr) == (not arguments)


def test_words_and_options_narrow_the_search() -> None:
    names = {spec.name for spec in search_blocks(["LARGE-kernel"], reparameterisable=True)}
    assert "ReparamLargeKernelConv" in names
    assert all(get_block(name).reparameterisable for name in names)
    assert {spec.family for spec in search_blocks([], family="mobile")} == {"mobile"}
    assert "GhostBottleneckV1" in {spec.name for spec in search_blocks(["ghost"])}


def test_a_search_shows_the_own_cost_at_each_position() -> None:
    result = run("ResNetBasicBlock", "2015", "--family", get_block("ResNetBasicBlock").family)
    assert result.exit_code == 0
    assert "821.0" in result.stdout  # blocks.csv: 820,992 parameters in the mid stage


def test_sorting_by_year_and_cost() -> None:
    specs = [get_block(name) for name in ("ResNetBasicBlock", "RepVGGBlock", "ResNetBottleneck")]
    by_year = [spec.year for spec in sorted_blocks(specs, "year", {})]
    assert by_year == sorted(by_year)
    costs = stage_costs(specs)
    by_params = [spec.name for spec in sorted_blocks(specs, "params", costs)]
    assert by_params[0] == "ResNetBottleneck"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RepMixr"], "unknown block 'RepMixr'; did you mean RepMixer"),
        (["mobile", "zebra"], "no block holds all of: mobile zebra"),
        (["--family", "mobil"], "unknown family 'mobil'; did you mean mobile"),
        (["--sort", "yeer", "--no-costs"], "unknown sort order 'yeer'; did you mean year"),
        (["--svg", "x.svg"], "--svg draws one block; give exactly one name or alias"),
        (["RepVGG", "--position", "middle"], "unknown position 'middle'; did you mean mid"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr


def test_one_alias_shows_the_block_in_full_and_draws_it(tmp_path: Path) -> None:
    result = run("RepVGG", "--no-contract", "--svg", str(tmp_path / "drawing.svg"))
    assert result.exit_code == 0
    for text in (
        "arXiv:2101.03697",
        get_block("RepVGG").formula,
        "● │  conv 3×3 64→128 stride 2 · BN",
        "411,648",
        "69×69",
    ):
        assert text in result.stdout
    assert ElementTree.parse(tmp_path / "drawing.svg").getroot().tag.endswith("svg")
    assert "keeps the contract" not in result.stdout


@pytest.mark.parametrize(
    ("block", "knob"),
    [
        ("GatedCNNMambaOut", "expansion, 2.667 as published"),
        ("VANBlock", "expansion, by position as published"),
        ("RepVGG", ""),
    ],
)
def test_one_block_in_full_says_which_knob_it_has(block: str, knob: str) -> None:
    facts = dict(rows_of(facts_table(get_block(block))))
    assert facts.get("knob", "") == knob


def test_one_block_in_full_ends_with_what_the_contract_says_of_it() -> None:
    result = run("ConvBNAct")
    assert result.exit_code == 0, result.output
    contract = result.stdout.partition("ConvBNAct: keeps the contract")[2]
    verdicts = dict(re.findall(r"^(\S[\w ]*?)  +(passes|does not apply|fails)\b", contract, re.M))
    lines = [line.name for line in contract_lines(exports=False)]
    assert list(verdicts) == lines
    assert {line for line, verdict in verdicts.items() if verdict != "passes"} == {"deploy"}
