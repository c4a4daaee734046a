"""Every number of the command line has a range, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from typer.models import OptionInfo
from typer.testing import CliRunner

from blockzoo.cli.app import app
from blockzoo.cli.numbers import flag_of, ranges_of
from blockzoo.core.errors import InputError
from blockzoo.core.ranges import Range

COMMANDS: dict[str, Callable[..., None]] = {
    command.name: command.callback
    for command in app.registered_commands
    if command.name is not None and command.callback is not None
}
ABSURD = ("-1", "0", "1e300", str(10**20), "9" * 5000, "nan", "inf", "-inf", "1.5", "0x10", "")
# Numbers within text, which have no type that could be found.
IN_TEXT = [
    ("benchmark RepMixer", "--threads", "100000"),
    ("benchmark RepMixer", "--threads", "0"),
    ("marginal RepMixer", "--threads", "9" * 5000),
    ("benchmark RepMixer", "--device", "cuda:99999999"),
    ("benchmark RepMixer", "--device", "cuda:" + "9" * 5000),
    ("train RepMixer", "--device", "cuda:99999999"),
    ("doctor", "--device", "cuda:-1"),
    ("scaling RepMixer", "--batch-sizes", f"1,{10**20}"),
    ("scaling RepMixer", "--batch-sizes", "-1"),
    ("scaling RepMixer", "--resolutions", "32,1000000000"),
    ("scaling RepMixer", "--resolutions", "1"),
    ("scaling RepMixer", "--threads", "1,100000"),
    ("scaling RepMixer", "--threads", "1,nan"),
    ("train RepMixer", "--dataset", "digits@99999999"),
    ("train RepMixer", "--dataset", "/@99999999"),
    ("train RepMixer", "--dataset", "/@" + "9" * 5000),
    ("profile RepMixer", "--input-shape", "1 3 1000000000 32"),
    ("profile RepMixer", "--input-shape", "1 3 32 2"),
    ("profile RepMixer", "--input-shape", f"{10**20} 3 32 32"),
    ("profile RepMixer", "--input-shape", "1 99999999 32 32"),
]
# Wrong in other ways, and to be refused as early.
WRONG = [
    "benchmark RepMixer --precision int4",
    "benchmark RepMixer --precision int8",
    "benchmark RepMixer --backend abacus",
    "benchmark RepMixer --cache warm",
    "benchmark RepMixer --context Nothing",
    "benchmark RepMixer --results mysql://host/name",
    "benchmark RepMixer --output .",
    "profile RepMixer --context Nothing",
    "profile RepMixer --device tpu",
    "profile RepMixer --output .",
    "roofline RepMixer --precision int4",
    "roofline RepMixer --precision int8",
    "roofline RepMixer --plot figure.gif",
    "scaling RepMixer --throughput --plot figure.png",
    "scaling RepMixer --batch-sizes 1,2 --position nowhere",
    "marginal RepMixer --position nowhere",
    "blocks --sort speed",
    "blocks --position nowhere",
    "blocks --family nothing",
    "check NoSuchBlock",
    "train RepMixer --precision int4",
    "train RepMixer --log nowhere",
    "train RepMixer --on-oom weep",
    "train RepMixer --resident perhaps",
    "train RepMixer --stem tall",
    "train RepMixer --output .",
    "sweep --results mysql://host/name",
    "tune RepMixer --results mysql://host/name",
    "visualize --format gif",
    "results --nothing",
    "results list --kind cots",
    "results list --status bad",
    "results list --position nowhere",
    "results export",
    "results merge nowhere --into mysql://host/name",
    "results prune",
    "nothing",
    "profile RepMixer --width",
]


def _numbers() -> Iterator[tuple[str, str, int]]:
    """Yield command, flag and how many numbers the option takes, of every option that takes one."""
    for command, function in COMMANDS.items():
        for hint in get_type_hints(function, include_extras=True).values():
            flags = [flag_of(each) for each in get_args(hint) if isinstance(each, OptionInfo)]
            kinds = _kinds(get_args(hint)[0]) if flags else set()
            if kinds & {int, float}:
                yield command, flags[0], 4 if flags[0] == "--input-shape" else 1


def _kinds(hint: Any) -> set[Any]:
    return {hint} if get_origin(hint) is None else set().union(*map(_kinds, get_args(hint)))


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Work in an empty folder, with nothing that asks the machine who else uses it."""
    monkeypatch.chdir(tmp_path)

    def fail(device: str) -> None:
        raise AssertionError(f"looked at {device}")

    monkeypatch.setattr("blockzoo.cli.actions.timing.warn_of_contention", fail)


def refused(arguments: list[str]) -> str:
    """Return the one line that the arguments are refused with, by status 2."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, (arguments, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_every_option_that_takes_a_number_has_a_range() -> None:
    found = list(_numbers())
    assert len(found) > 40
    with_range = {
        (command, flag)
        for command, function in COMMANDS.items()
        for flag, _ in ranges_of(function).values()
    }
    assert {(command, flag) for command, flag, _ in found} - with_range == {
        # Of four numbers, each has a range of its own; see below.
        (command, "--input-shape")
        for command in ("profile", "benchmark")
    }


@pytest.mark.parametrize(("command", "flag", "count"), list(_numbers()))
@pytest.mark.parametrize("value", ABSURD, ids=lambda text: text[:20])
def test_absurd_numbers_are_refused_in_one_line(
    command: str, flag: str, count: int, value: str
) -> None:
    ranges = dict(ranges_of(COMMANDS[command]).values())
    if _is_allowed(value, ranges.get(flag)):
        pytest.skip("not absurd for this one")
    name = [] if command in ("results", "doctor", "sweep") else ["RepMixer"]
    error = refused([*command.split(), *name, flag, *[value] * count])
    assert flag in error or "input shape" in error


def _is_allowed(value: str, allowed: Range | None) -> bool:
    try:
        number = float(value) if allowed is None or not allowed.whole else int(value)
        return allowed is not None and allowed.checked("it", number) == number
    except (ValueError, InputError):
        return False


@pytest.mark.parametrize(("command", "flag", "value"), IN_TEXT, ids=lambda text: text[:20])
def test_so_are_numbers_within_text(command: str, flag: str, value: str) -> None:
    values = value.split() if flag == "--input-shape" else [value]
    refused([*command.split(), flag, *values])


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_use_is_refused_before_anything_runs(arguments: str) -> None:
    refused(arguments.split())
