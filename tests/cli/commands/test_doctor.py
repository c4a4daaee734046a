"""`blockzoo doctor` on readings that are made up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from blockzoo.cli.app import app
from blockzoo.measure.machine import doctor as doctor_room
from blockzoo.measure.machine.doctor import Readings
from tests.measure.machine.samples import QUIET


def doctor(
    monkeypatch: pytest.MonkeyPatch, readings: Readings, *arguments: str
) -> tuple[int, str, str]:
    def read(device: torch.device) -> Readings:
        assert device == torch.device("cpu")
        return readings

    monkeypatch.setattr(doctor_room, "read_machine", read)
    result = CliRunner().invoke(app, ["doctor", "--device", "cpu", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_caution_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output, _ = doctor(monkeypatch, replace(QUIET, governor="powersave"))
    assert status == 0
    (line,) = (line for line in output.splitlines() if line.startswith("governor"))
    assert " ".join(line.split()) == (
        "governor caution powersave fix the clock with: sudo cpupower frequency-set -g performance"
    )


def test_an_unfit_line_ends_in_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output, _ = doctor(monkeypatch, replace(QUIET, cpu_quota_cores=0.5), "--json")
    assert status == 1
    told = json.loads(output)
    assert told["fit"] is False
    assert {
        "subject": "CPU quota",
        "verdict": "unfit",
        "reading": "0.5 of 4 core(s)",
        "advice": "start the container without --cpus; pin it to whole cores with --cpuset-cpus",
    } in told["findings"]


def test_json_of_a_fit_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output, _ = doctor(monkeypatch, QUIET, "--json")
    told = json.loads(output)
    assert (status, told["fit"], len(told["findings"])) == (0, True, 14)


def test_an_absent_device_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(app, ["doctor", "--device", "cuda"])
    assert result.exit_code == 2
    assert "device 'cuda' is not available; there is: cpu" in result.stderr
