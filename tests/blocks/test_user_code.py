"""Blocks of users: found by file, module and entry point, and told of in the user's own lines."""

from __future__ import annotations

import importlib
import linecache
import re
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from blockzoo.blocks import (
    canonical_name,
    get_block,
    list_available_blocks,
    register_block,
    registry,
    user_code,
    user_errors,
)
from blockzoo.cli.app import app, command_border
from blockzoo.core.errors import BlockError, InputError, UnknownNameError
from blockzoo.core.position import Position
from blockzoo.core.process_state import changes_since, process_state
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.profile import CostSettings, profile_block, profile_blocks
from blockzoo.results.table.csv import read_results_csv
from blockzoo.results.table.frame import load_results
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

_BLOCK = '''
"""A researcher's file."""
from torch import nn


class MyBlock(nn.Module):
    """y = relu(conv3x3(x))"""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)

    def forward(self, x):
        return self.conv(x).relu()
'''
_TANH = _BLOCK.replace(".relu()", ".tanh()")
_FOUR = """
from torch import nn

class Wide(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride, position, growth=2):
        hidden = out_channels * (growth if str(position) == "late" else 1)
        super().__init__(nn.Conv2d(in_channels, hidden, 3, stride, 1),
                         nn.Conv2d(hidden, out_channels, 1))

def plain(in_channels, out_channels, stride):
    return nn.Conv2d(in_channels, out_channels, 3, stride, 1)

def partial_name(inp, oup, stride): ...
"""
_REGISTERED = """
from torch import nn
from blockzoo import register_block

@register_block("Mine{tag}", family="plain", year=2024, paper="none (mine)", source="mine",
                licence="MIT", formula="y = conv(x)", initialisation="own", aliases=("mine{tag}",))
class Decorated(nn.Conv2d):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, 3, stride, 1)
"""
_TINY = ScaffoldConfig(width=4, depth=1, input_shape=(3, 8, 8))
Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, and a registry, modules and search path that are restored."""
    list_available_blocks()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    monkeypatch.setattr(registry, "_aliases", dict(registry._aliases))
    monkeypatch.setattr(user_errors, "_own_files", {*user_errors._own_files})
    monkeypatch.setattr(user_errors, "_own_folders", {*user_errors._own_folders})
    monkeypatch.setattr(sys, "path", [*sys.path])
    modules = {*sys.modules}
    with torch.random.fork_rng(devices=[]):
        yield tmp_path
    for name in {*sys.modules} - modules:
        if not (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            continue
        del sys.modules[name]


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a file below the current folder."""

    def put(name: str, text: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
        return path

    return put


def _refused(name: str, kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        get_block(name)
    message = str(caught.value)
    assert "\n" not in message
    assert "blocks/user_code.py" not in message
    return message


def test_a_class_in_a_file_is_a_block_under_one_name(
    write: Write, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write("scratch/my_block.py", _BLOCK)
    spec = get_block("./scratch/my_block.py:MyBlock")
    assert spec.name == "scratch/my_block.py:MyBlock"
    assert get_block(spec.name) is spec
    link = tmp_path_factory.mktemp("elsewhere") / "link"
    link.symlink_to(path.parent)
    for file in (path, link / "my_block.py", "scratch/../scratch/my_block.py"):
        assert get_block(f"{file}:MyBlock") is spec
        assert canonical_name(f"{file}:MyBlock") == spec.name
    assert spec.identity_name == "MyBlock"
    assert spec.formula == "y = relu(conv3x3(x))"
    assert spec.defined_at == f"{path}:5"
    block = spec.build(4, 8, 2, Position.EARLY)
    assert block(torch.zeros(2, 4, 5, 5)).shape == (2, 8, 3, 3)
    assert not block.get_parameter("conv.bias").any()  # the policy's, not PyTorch's own
    assert spec.name not in list_available_blocks()


def test_a_file_elsewhere_is_named_from_the_root(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("scratch/my_block.py", _BLOCK)
    (folder / "beside").mkdir()
    monkeypatch.chdir(folder / "beside")
    spec = get_block("../scratch/my_block.py:MyBlock")
    assert spec.name == f"{path.resolve().as_posix()}:MyBlock"
    assert spec.identity_name == "MyBlock"


def test_constructors_with_position_and_functions_are_called_by_name(write: Write) -> None:
    write("four.py", _FOUR)
    wide, plain = get_block("four.py:Wide"), get_block("four.py:plain")
    late = wide.build(4, 4, 1, Position.LATE).state_dict()["0.weight"]
    early = wide.build(4, 4, 1, Position.EARLY).state_dict()["0.weight"]
    assert (len(late), len(early)) == (8, 4)
    assert isinstance(plain.build(4, 4, 2, Position.MID), nn.Conv2d)


def test_a_class_in_a_module_or_package_of_the_current_folder(write: Write) -> None:
    write("y1_package/__init__.py", "")
    write("y1_package/blocks.py", _BLOCK)
    spec = get_block("y1_package.blocks:MyBlock")
    assert spec.name == "y1_package.blocks:MyBlock"
    assert spec.build(4, 8, 1, Position.MID)(torch.zeros(1, 4, 4, 4)).shape == (1, 8, 4, 4)


def test_what_lies_beside_the_file_can_be_imported(write: Write) -> None:
    write("deep/y1_layers.py", "from torch.nn import Conv2d\n")
    text = _BLOCK.replace("from torch import nn", "from torch import nn\nimport y1_layers")
    write("deep/uses.py", text.replace("nn.Conv2d", "y1_layers.Conv2d"))
    assert get_block("deep/uses.py:MyBlock").build(4, 4, 1, Position.MID)


def test_a_registered_class_keeps_its_facts_when_it_is_named_by_file(write: Write) -> None:
    write("registered.py", _REGISTERED.format(tag="One"))
    spec = get_block("registered.py:Decorated")
    assert (spec.year, spec.initialisation, spec.aliases) == (2024, "own", ())
    assert get_block("mineOne").name == "MineOne"
    assert "MineOne" in list_available_blocks()
    assert isinstance(spec.build(4, 4, 1, Position.MID), nn.Conv2d)


def test_the_fingerprint_changes_with_the_code_not_with_its_comments(write: Write) -> None:
    write("a.py", _BLOCK)
    write("b.py", _BLOCK.replace("    def forward", "    # nothing new\n\n    def forward"))
    write("c.py", _BLOCK.replace(".relu()", ".tanh()"))
    write("y1_module.py", _BLOCK)
    a, b, c, module = (
        Placement.of(f"{name}:MyBlock", Position.MID, _TINY).fingerprints.block
        for name in ("a.py", "b.py", "c.py", "y1_module")
    )
    assert a == b == module
    assert c != a


def test_the_fingerprint_of_a_block_in_a_module_changes_with_its_code(write: Write) -> None:
    prints = []
    for text in (_BLOCK, _BLOCK.replace("MyBlock(", "MyBlock(  # said\n    "), _TANH):
        write("y1_versioned.py", text)
        sys.modules.pop("y1_versioned", None)
        linecache.clearcache()
        importlib.invalidate_caches()
        prints.append(Placement.of("y1_versioned:MyBlock", Position.MID, _TINY).fingerprints.block)
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.py:MyBlock", r"there is no file nowhere\.py \(looked in /.*\)"),
        ("folder.py:MyBlock", r"folder\.py cannot be read: Is a directory"),
        ("mine.py", r"'mine\.py' names no class; write path/to/file\.py:MyBlock or package\..*"),
        ("mine.py:", r"'mine\.py:' names no class; write .*"),
        ("mine.py:My Block", r"'mine\.py:My Block' names no class; write .*"),
        ("mine.txt/x:MyBlock", r"'mine\.txt/x' is neither a \.py file nor a module; write .*"),
        ("y1_nothing:A", r"there is no module 'y1_nothing' for 'y1_nothing', neither installed .*"),
        ("json.nothing:A", r"there is no module 'json\.nothing' for 'json\.nothing', .*"),
        ("mine.py:nn", r"mine\.py:nn is a module, not a class or function that makes blocks"),
        ("mine.py:Text", r"class mine\.py:Text \(\S+/mine\.py:14\) is not a torch\.nn\.Module"),
        ("empty.py:A", r"there is no class 'A' in empty\.py, nor any other block"),
        ("broken.py:A", r"broken\.py is not Python: SyntaxError: .* \(broken\.py:3\)"),
        ("binary.py:A", r"binary\.py is not Python: \w+: .*"),
    ],
)
def test_what_cannot_be_found_is_refused_in_one_line(
    name: str, message: str, write: Write, folder: Path
) -> None:
    write("mine.py", f"{_BLOCK}class Text(str):\n    pass\n")
    write("empty.py", "x = 1\n")
    write("broken.py", "import os\n\nclass A(:\n    pass\n")
    (folder / "binary.py").write_bytes(b"\x00\xff\xfe")
    (folder / "folder.py").mkdir()
    assert re.fullmatch(message, _refused(name))


def test_a_class_that_is_not_in_the_file_is_answered_with_near_ones(write: Write) -> None:
    write("mine.py", _BLOCK)
    message = _refused("mine.py:MyBlok", UnknownNameError)
    assert message == "unknown class of mine.py 'MyBlok'; did you mean MyBlock?"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("in_channels, out_channels", "it has no stride by name"),
        (
            "inp, oup, stride",
            "nothing supplies inp, oup; it has no in_channels, out_channels by name",
        ),
        (
            "in_channels, out_channels, kernel_size",
            "nothing supplies kernel_size; it has no stride by name",
        ),
        ("in_channels, out_channels, stride, groups", "nothing supplies groups"),
        ("in_channels, out_channels, stride, *, kernel_size", "nothing supplies kernel_size"),
        ("in_channels, kernel_size, **others", "nothing supplies kernel_size"),
    ],
)
def test_a_constructor_with_other_arguments_is_refused_with_its_line(
    arguments: str, why: str, write: Write, folder: Path
) -> None:
    write("odd.py", _BLOCK.replace("in_channels, out_channels, stride)", f"{arguments})"))
    expected = (
        f"class odd.py:MyBlock ({folder}/odd.py:5) takes ({arguments.replace('*, ', '')}); it must "
        "take (in_channels, out_channels, stride, position), position may be left out; others need "
        f"a default; {why}; or register it with build=lambda i, o, s: ..."
    )
    assert _refused("odd.py:MyBlock") == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import y1_missing", "ModuleNotFoundError: No module named 'y1_missing' (bad.py:2)"),
        ("1 / 0", "ZeroDivisionError: division by zero (bad.py:2)"),
        ("import sys; sys.exit(3)", "SystemExit: 3 (bad.py:2)"),
        ("import y1_syntax", "SyntaxError: invalid syntax (y1_syntax.py:2)"),
        (
            "import json; json.loads('[')",
            "JSONDecodeError: Expecting value: line 1 column 2 (char 1) (bad.py:2)",
        ),
    ],
)
def test_an_error_while_the_file_runs_shows_the_users_line(
    line: str, message: str, write: Write
) -> None:
    write("y1_syntax.py", "x = 1\nx = = 2\n")
    write("bad.py", f"x = 1\n{line}\n")
    assert _refused("bad.py:A", BlockError) == f"bad.py cannot be run: {message}"
    assert _refused("bad:A", BlockError) == f"module bad cannot be imported: {message}"
    write("bad.py", _BLOCK)
    assert get_block("bad.py:MyBlock")  # a file that was mended is read again


@pytest.mark.parametrize("how", ["bad.py:MyBlock", "y1_bad:MyBlock"])
def test_errors_of_constructor_and_forward_show_the_users_line(how: str, write: Write) -> None:
    constructor = _BLOCK.replace("out_channels, 3, stride", "out_channels // 0, 3, stride")
    for name in ("bad.py", "y1_bad.py"):
        write(name, constructor)
    place = f"{how.split(':')[0].removesuffix('.py')}.py"
    with pytest.raises(BlockError) as caught:
        profile_block(how, "mid", config=_TINY)
    assert str(caught.value) == (
        f"block {how} cannot be built with in=4, out=8, stride=2, position=mid: "
        f"ZeroDivisionError: integer division or modulo by zero ({place}:10)"
    )


def test_an_error_deep_in_torch_shows_the_users_line(write: Write) -> None:
    write("bad.py", _BLOCK.replace("self.conv(x)", "self.conv(x[:, 1:])"))
    expected = r"block bad\.py:MyBlock \(mid\) raises on input \(2, 4, 8, 8\): RuntimeError: .*"
    with pytest.raises(BlockError, match=expected) as caught:
        profile_block("bad.py:MyBlock", "mid", config=_TINY)
    assert str(caught.value).endswith("(bad.py:13)")
    record = profile_blocks(["bad.py:MyBlock"], ["mid"], config=_TINY, on_error="record")[0]
    assert record.reason is not None
    assert record.reason.endswith("(bad.py:13)")


def test_an_error_that_comes_only_in_eval_mode_shows_the_users_line(write: Write) -> None:
    text = "        assert self.training, 'not\\n today'\n        return self.conv"
    write("late.py", _BLOCK.replace("        return self.conv", text))
    record = benchmark_blocks(["late.py:MyBlock"], ["mid"], config=_TINY)[0]
    assert record.reason == "AssertionError: not today (late.py:13)"


def test_a_constructor_that_torch_refuses_falls_back_to_the_class(write: Write) -> None:
    path = write("bare.py", "from torch import nn\n\n\nclass Bare(nn.Module):\n    pass\n")
    with pytest.raises(BlockError, match=re.escape(f"({path}:4)")):
        get_block("bare.py:Bare").build(4, 4, 1, Position.MID)


def test_a_registered_block_shows_its_own_line_too() -> None:
    @register_block(
        "Y1Broken", family="x", year=2024, paper="x", source="x", licence="x", formula="x"
    )
    class Broken(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
            raise RuntimeError("never")

    with pytest.raises(BlockError, match=r"RuntimeError: never \(\S+test_user_code\.py:\d+\)"):
        get_block("Y1Broken").build(4, 4, 1, Position.MID)


def test_a_name_registered_by_two_files_is_refused_with_both(write: Write) -> None:
    first = write("first.py", _REGISTERED.format(tag="Two"))
    second = write("second.py", _REGISTERED.format(tag="Two"))
    get_block("first.py:Decorated")
    message = _refused("second.py:Decorated")
    assert f"'MineTwo' is registered twice: at {first}:4 and at {second}:4" in message


class _Package:
    """Enough of a distribution to be named in a message."""

    def __init__(self, name: str) -> None:
        self.name, self.version = name, "1.0"


def _declare(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str, str]) -> None:
    """Let packages declare blocks: (package, name, value)."""

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        assert group == "blockzoo.blocks"
        found = []
        for package, name, value in entries:
            entry = metadata.EntryPoint(name, value, group)
            vars(entry)["dist"] = _Package(package)
            found.append(entry)
        return found

    monkeypatch.setattr(metadata, "entry_points", entry_points)


def test_a_package_declares_a_class_and_a_module_that_registers(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("y1_plug.py", _BLOCK)
    write("y1_registers.py", _REGISTERED.format(tag="Three"))
    _declare(monkeypatch, ("p", "Plugged", "y1_plug:MyBlock"), ("q", "any", "y1_registers"))
    assert get_block("mineThree").name == "MineThree"
    assert "y1_plug" not in sys.modules
    spec = get_block("Plugged")
    assert spec.build(4, 4, 1, Position.MID)
    assert spec.defined_at.endswith(
        "y1_plug.py:5 (entry point Plugged = y1_plug:MyBlock of package p 1.0)"
    )
    assert get_block("Plugged") is spec
    assert {"Plugged", "MineThree"} <= {*list_available_blocks()}
    with pytest.raises(UnknownNameError, match="did you mean Plugged"):
        get_block("Pluged")


@pytest.mark.parametrize("name", ["Twice", "RepMixer"])
def test_two_entries_with_one_name_are_refused_with_both(
    name: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("y1_one.py", _BLOCK)
    entries = [("p", name, "y1_one:MyBlock"), ("q", name, "y1_two:Other")]
    _declare(monkeypatch, *(entries if name == "Twice" else entries[:1]))
    with pytest.raises(InputError) as caught:
        list_available_blocks()
    message = str(caught.value)
    assert f"entry point {name} = y1_one:MyBlock of package p 1.0" in message
    assert ("y1_two:Other of package q" if name == "Twice" else "reparam.py:") in message
    if name == "Twice":
        assert _refused("Twice") == message
    assert get_block("RepMixer").source != "user"


def test_a_package_that_fails_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("y1_fails.py", "x = 1\nraise OSError('no\\nluck')\n")
    _declare(monkeypatch, ("p", "Fails", "y1_fails:MyBlock"))
    assert _refused("Fails", BlockError) == (
        "entry point Fails = y1_fails:MyBlock of package p 1.0: module y1_fails cannot be "
        "imported: OSError: no luck (y1_fails.py:2)"
    )
    assert get_block("ResNetBasicBlock").name == "ResNetBasicBlock"


def test_an_installed_package_is_found(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("site-packages/y1_real/__init__.py", _BLOCK)
    info = "site-packages/y1_real-2.0.dist-info"
    write(f"{info}/METADATA", "Metadata-Version: 2.1\nName: y1-real\nVersion: 2.0\n")
    write(f"{info}/entry_points.txt", "[blockzoo.blocks]\nRealBlock = y1_real:MyBlock\n")
    monkeypatch.syspath_prepend("site-packages")
    assert "RealBlock" in list_available_blocks()
    assert "package y1-real 2.0" in get_block("RealBlock").defined_at
    record = profile_block("RealBlock", "mid", config=_TINY)
    assert record.stage_train is not None
    assert record.stage_train.params_total == 4 * 8 * 9 + 8


def test_files_of_libraries_and_of_blockzoo_are_nobodys(folder: Path) -> None:
    user_errors.claim_file(folder / "my.py")
    assert user_errors._is_own(str(folder / "beside" / "other.py"))
    assert not user_errors._is_own(str(folder / "venv/lib/site-packages/torch/nn/modules/conv.py"))
    user_errors.claim_file(Path("/my.py"))
    assert not user_errors._is_own(registry.__file__)
    assert not user_errors._is_own(re.__file__)


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.usefixtures("forked_workers")
def test_a_block_in_a_scratch_folder_goes_through_every_command(
    write: Write, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    write("scratch/my_block.py", _BLOCK)
    name = "scratch/my_block.py:MyBlock"
    small = ["--width", "4", "--depth", "1"]
    shape = ["--input-shape", "1", "3", "8", "8", "-p", "mid"]
    learn = ["--dataset", str(tiny_npz), "--epochs", "1", *small]
    assert name in _run("profile", name, *small, *shape, "-o", "cost.csv")
    assert [row["block"] for row in read_results_csv(Path("cost.csv"))] == [name]
    timed = _run("benchmark", f"./{name}", *small, *shape, "--budget", "0.05", "--baseline", name)
    assert name in timed
    assert name in _run("train", name, "-p", "mid", *learn, "--results", "trained")
    swept = _run(
        "sweep",
        "--quick",
        "ResNetBasicBlock",
        name,
        *learn,
        "-p",
        "late",
        "--seeds",
        "1",
        "--latency-budget",
        "0.05",
        "--results",
        "swept",
    )
    assert name in swept
    frame = load_results(Path("swept/results.csv"))
    assert {*frame[frame.block == name].position} == {"late"}
    assert {path.suffix for path in Path("swept/plots").rglob("*.*")} == {".png", ".svg"}
    again = CliRunner().invoke(app, ["results", "swept", "--export", "all.parquet"])
    assert again.exit_code == 0, again.stderr


@pytest.mark.parametrize(("name", "status"), [("nowhere.py:A", 2), ("bad.py:MyBlock", 1)])
@pytest.mark.parametrize("command", ["profile", "benchmark", "train", "sweep"])
def test_every_command_ends_in_one_line(command: str, name: str, status: int, write: Write) -> None:
    write("bad.py", "raise RuntimeError('two\\nlines')\n")
    result = CliRunner().invoke(app, [command, name])
    assert result.exit_code == status
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


def test_an_error_while_training_shows_the_users_line(write: Write, tiny_npz: Path) -> None:
    text = "        assert len(x) < 5, 'too many'\n        return self.conv"
    write("big.py", _BLOCK.replace("        return self.conv", text))
    result = CliRunner().invoke(
        app,
        ["train", "big.py:MyBlock", "--dataset", str(tiny_npz), "--width", "4", "--depth", "1"],
    )
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "failed: block big.py:MyBlock (mid) raises on a batch of (54, 3, 8, 8): "
        "AssertionError: too many (big.py:13)"
    )


def test_an_error_that_nobody_foresaw_ends_in_the_users_line(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("odd.py", _BLOCK)
    block = get_block("odd.py:MyBlock").build(4, 4, 1, Position.MID)

    @command_border
    def call(images: torch.Tensor | None) -> None:
        block(images) if images is not None else [][1]

    with pytest.raises(typer.Exit):
        call(torch.zeros(1, 5, 4, 4))
    assert re.fullmatch(r"error: RuntimeError: .* \(odd\.py:13\)\n", capsys.readouterr().err)
    with pytest.raises(IndexError):
        call(None)


def test_loading_is_remembered_for_the_process(write: Write) -> None:
    write("once.py", _BLOCK)
    first = user_code.load("once.py:MyBlock").target
    write("once.py", _BLOCK.replace(".relu()", ".tanh()"))
    assert user_code.load("once.py:MyBlock").target is first


def test_the_example_and_the_block_of_the_documentation_work(write: Write) -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/reference/blocks.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL)
    assert snippet is not None
    write(snippet[1], snippet[2])
    names = (f"{snippet[1]}:MyBlock", f"{root}/examples/own_block.py:SqueezedResidual")
    for record in profile_blocks(
        names, ["late"], config=_TINY, settings=CostSettings(memory=False)
    ):
        assert record.block in names
        assert record.stage_train is not None


@pytest.mark.parametrize("extra", ["**further", "groups=1, **further", "*rest, **further"])
def test_further_keywords_ask_for_no_position(extra: str, write: Write) -> None:
    """Those of torchvision's BasicConv2d (pytorch/vision torchvision/models/inception.py) go on to
    the convolution."""
    text = _BLOCK.replace(
        "in_channels, out_channels, stride)", f"in_channels, out_channels, stride, {extra})"
    )
    write("further.py", text.replace("3, stride, 1)", "3, stride, 1, **further)"))
    assert get_block("further.py:MyBlock").build(4, 8, 2, Position.MID)
    asked = text.replace(f"{extra})", f"position, {extra})").replace(
        "3, stride", "len(str(position)), stride"
    )
    write("asked.py", asked)
    block = get_block("asked.py:MyBlock").build(4, 8, 1, Position.LATE)
    assert block.get_submodule("conv").kernel_size == (4, 4)


def test_a_function_of_a_file_adapts_what_takes_other_arguments(write: Write) -> None:
    """As (inp, oup, stride) of tonylins/pytorch-mobilenet-v2 MobileNetV2.py needs one."""
    text = _BLOCK.replace("in_channels, out_channels, stride", "c1, c2, s").replace("stride", "s")
    text = text.replace("in_channels, out_channels", "c1, c2")
    write(
        "odd.py",
        f"{text}\n\ndef adapter(in_channels, out_channels, stride):\n"
        "    return MyBlock(in_channels, out_channels, stride)\n",
    )
    assert get_block("odd.py:adapter").build(4, 8, 2, Position.MID).conv.stride == (2, 2)
    write(
        "registers.py",
        f"{text}\nfrom blockzoo import register_block\n"
        'register_block("Odd", build=lambda i, o, s: MyBlock(i, o, s))(MyBlock)\n',
    )
    spec = get_block("registers.py:MyBlock")
    assert spec.build(4, 8, 2, Position.MID).conv.stride == (2, 2)
    assert get_block("odd").name == "Odd"


_PUBLIC_CONSTRUCTORS = [
    (
        "inp, oup, stride, expand_ratio",
        "nothing supplies inp, oup, expand_ratio; it has no in_channels, out_channels by name",
        "in_channels, out_channels, stride, 6",
    ),
    (
        "in_channels, out_channels, ksize, stride, groups=1, act='silu'",
        "nothing supplies ksize",
        "in_channels, out_channels, 3, stride",
    ),
    (
        "in_channels, out_channels, n=1, shortcut=True",
        "it has no stride by name",
        "in_channels, out_channels, stride",
    ),
    (
        "inplanes, planes, stride=1, downsample=None, reduction=16",
        "nothing supplies inplanes, planes; it has no in_channels, out_channels by name",
        "in_channels, out_channels, stride",
    ),
    (
        "in_planes, planes, stride=1, downsample=None",
        "nothing supplies in_planes, planes; it has no in_channels, out_channels by name",
        "in_channels, out_channels, stride",
    ),
    (
        "dim, drop_path=0.0, layer_scale_init_value=1e-6",
        "nothing supplies dim; it has no in_channels, out_channels, stride by name",
        "in_channels",
    ),
]


@pytest.mark.parametrize(("arguments", "why", "call"), _PUBLIC_CONSTRUCTORS)
def test_constructors_of_public_code_say_what_is_missing_and_take_an_adapter(
    arguments: str, why: str, call: str, write: Write
) -> None:
    """In this order: tonylins/pytorch-mobilenet-v2 MobileNetV2.py, two of
    Megvii-BaseDetection/YOLOX yolox/models/network_blocks.py, moskomule/senet.pytorch #42,
    kenshohara/3D-ResNets-PyTorch #192, facebookresearch/ConvNeXt models/convnext.py."""
    write(
        "public.py",
        f"""
from torch import nn

class MyBlock(nn.Identity):
    def __init__(self, {arguments}):
        super().__init__()
        self.given = {arguments.split(",")[0]}

def adapter(in_channels, out_channels, stride):
    return MyBlock({call})
""",
    )
    assert f"; {why}; or register it with build=" in _refused("public.py:MyBlock")
    assert vars(get_block("public.py:adapter").build(8, 8, 1, Position.MID))["given"] == 8


def test_what_stands_between_channels_and_stride_is_passed_over(write: Write) -> None:
    """By place a group count would take the stride's, as in chainer/chainercv #686."""
    text = _BLOCK.replace(
        "in_channels, out_channels, stride)", "out_channels, in_channels, groups=1, stride=1)"
    )
    write("between.py", text)
    conv = get_block("between.py:MyBlock").build(4, 8, 2, Position.MID).get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.in_channels, conv.out_channels, conv.stride) == (4, 8, (2, 2))


class _Own(nn.Conv2d):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 3, stride, 1)


def test_a_class_stands_for_a_block_wherever_a_name_does() -> None:
    record = profile_block(_Own, "mid", config=_TINY)
    assert record.block == f"{__name__}:_Own"
    assert record.stage_deploy is not None
    assert record.stage_deploy.params_total == 4 * 8 * 9 + 8
    assert get_block(record.block) is get_block(_Own)
    assert Placement.of(_Own, "late") == Placement.of(record.block, "late")
    assert get_block(get_block(_Own)) is get_block(_Own)
    # Both ways of asking are one trial.
    twice = profile_blocks([_Own, record.block], ["mid"], config=_TINY)
    assert {each.trial_id for each in twice} == {record.trial_id}


def test_a_class_of_a_notebook_is_called_by_its_name_and_the_last_one_counts() -> None:
    def cell(channels: int) -> type[nn.Module]:
        class Cell(_Own):
            added = channels

        class ResNetBasicBlock(_Own):
            pass

        return Cell if channels else ResNetBasicBlock

    first, second = cell(1), cell(2)
    assert [get_block(each).name for each in (first, second)] == ["Cell", "Cell"]
    assert get_block("Cell") is get_block(second)
    # A name of the zoo stays the zoo's.
    assert get_block(cell(0)).name == f"{__name__}:ResNetBasicBlock"
    assert get_block("ResNetBasicBlock").from_zoo


def test_a_class_that_is_no_block_is_refused_as_by_its_path() -> None:
    with pytest.raises(
        InputError, match=r"class torch\.nn\.modules\.conv:Conv2d .* takes .* kernel_size"
    ):
        get_block(nn.Conv2d)


@pytest.mark.parametrize(
    "line",
    [
        "torch.set_grad_enabled(False)",  # choyingw/SynergyNet #22
        # rballester/tntorch #4, cics-nd/gptorch #14, gensyn-ai/rl-swarm #188
        "torch.set_default_dtype(torch.float64)",
        "torch.set_num_threads(torch.get_num_threads() + 1)",  # hw-native-sys/pypto-lib #870
        "torch.use_deterministic_algorithms(True)",
        "torch._C._jit_set_profiling_executor(False)",  # speechbrain/speechbrain #1068
        "torch._C._jit_set_profiling_mode(False)",
    ],
)
def test_what_a_file_sets_does_not_outlast_its_import_and_the_file_is_named(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "fast.py"
    file.write_text(f"import torch\n{line}\nclass Mine(torch.nn.Identity): pass\n")
    before = process_state()
    with pytest.warns(UserWarning, match=r"fast\.py sets .* as it is imported; this is put back"):
        get_block(f"{file}:Mine")
    assert changes_since(before) == ()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(nn.functional, "nn.functional.cross_entropy"), (torch.Tensor, "torch.Tensor.add")],
)
def test_what_a_file_patches_stays_and_the_file_is_named(
    owner: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pytorch/functorch #900 and pyro-ppl/pyro #2031 tell of what these did as they loaded."""
    attribute = name.rpartition(".")[2]
    monkeypatch.setattr(owner, attribute, getattr(owner, attribute))  # for the end of the test
    file = tmp_path / "patches.py"
    file.write_text(
        f"import torch\nfrom torch import nn\n{name} = object\nclass Mine(nn.Identity): pass\n"
    )
    with pytest.warns(
        user_code.StaysChangedWarning, match=rf"patches\.py changes {name} for the .*; this stays"
    ):
        get_block(f"{file}:Mine")
