"""Real processes that answer, raise, crash, hang and grow: each costs its own task alone."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from blockzoo.core.errors import BlockZooError, InputError
from blockzoo.core.processes import (
    Answer,
    Ended,
    Limits,
    Raised,
    Send,
    Worker,
    child_environment,
)
from blockzoo.core.processes.starting import Method

_END_S = 60.0
_MIB = 2**20


_METHODS: tuple[Method, ...] = ("interpreter", "spawn", "forkserver")


@pytest.fixture(scope="module", params=_METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    chosen: Method = request.param
    return chosen


@pytest.fixture
def worker(method: Method) -> Iterator[Worker]:
    with Worker(method) as started:
        yield started


def double(number: int) -> int:
    return 2 * number


def own_id(_: None) -> int:
    return os.getpid()


def test_a_worker_answers_one_task_after_the_other_in_one_process(worker: Worker) -> None:
    assert worker.ask(double, 4) == Answer(value=8)
    assert worker.ask(double, 5) == Answer(value=10)
    assert worker.ask(own_id, None) == worker.ask(own_id, None) == Answer(value=worker.pid)
    assert worker.pid != os.getpid()
    assert worker.alive


def test_a_large_task_and_a_large_answer_pass(worker: Worker) -> None:
    assert worker.ask(len, b"x" * (8 * _MIB)) == Answer(value=8 * _MIB)
    assert worker.ask(bytes, 8 * _MIB) == Answer(value=bytes(8 * _MIB))


class Secretive(Exception):
    """Cannot be pickled, for what it holds."""

    def __init__(self) -> None:
        super().__init__("no\nway")
        self.lock = threading.Lock()


class Demanding(Exception):
    """Its constructor takes more than it keeps."""

    def __init__(self, kind: str, name: str) -> None:
        del kind
        super().__init__(name)


def raises(error: str) -> None:
    if error == "secretive":
        raise Secretive
    if error == "demanding":
        raise Demanding("thing", "two")
    raise InputError(error)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("seven", InputError("seven")),
        ("secretive", BlockZooError("Secretive: no way")),
        (
            "demanding",
            BlockZooError("Demanding: two"),
        ),
    ],
)
def test_what_is_raised_comes_back_whether_or_not_it_can_be_pickled(
    what: str, expected: Exception
) -> None:
    with Worker() as worker:
        outcome = worker.ask(raises, what)
        assert isinstance(outcome, Raised)
        assert (type(outcome.error), str(outcome.error)) == (type(expected), str(expected))
        assert "in raises" in outcome.traceback
        assert worker.ask(double, 1) == Answer(value=2)


def opened(_: None) -> object:
    return threading.Lock()


def of_a_class_of_its_own(_: None) -> object:
    module = type(sys)("only_here")
    made = type("Made", (), {"__module__": "only_here"})
    module.Made = made  # type: ignore[attr-defined]
    sys.modules["only_here"] = module
    return made()


def raises_a_class_of_its_own(_: None) -> None:
    module = type(sys)("only_here")
    made = type("MadeError", (ValueError,), {"__module__": "only_here"})
    module.MadeError = made  # type: ignore[attr-defined]
    sys.modules["only_here"] = module
    raise made("of the child")


def test_an_answer_that_cannot_travel_is_an_error_of_its_task() -> None:
    with Worker() as worker:
        unsent = worker.ask(opened, None)
        unread = worker.ask(of_a_class_of_its_own, None)
        error = worker.ask(raises_a_class_of_its_own, None)
        assert worker.ask(double, 1) == Answer(value=2)
    assert isinstance(unsent, Raised)
    assert str(unsent.error).startswith("the answer, a lock, cannot be sent: TypeError: cannot")
    assert isinstance(unread, Raised)
    assert str(unread.error) == (
        "what was sent cannot be read: ModuleNotFoundError: No module named 'only_here'"
    )
    assert isinstance(error, Raised)
    assert str(error.error) == "MadeError: of the child"


def test_a_task_that_cannot_be_pickled_is_refused_at_once() -> None:
    with Worker() as worker:
        with pytest.raises((AttributeError, TypeError, ValueError)):
            worker.ask(lambda number: number, 1)
        assert worker.ask(double, 1) == Answer(value=2)


def segfaults(_: None) -> None:
    ctypes.string_at(0)


def exits(status: int) -> None:
    sys.exit(status)


def closes_everything(_: None) -> None:
    os.closerange(0, 1000)
    time.sleep(60)


@pytest.mark.parametrize(
    ("function", "task", "reason"),
    [
        (os._exit, 0, "ended with status 0"),
        (os._exit, 3, "ended with status 3"),
        (exits, 0, "ended with status 0"),
        (exits, 5, "ended with status 5"),
        (segfaults, None, "died by SIGSEGV"),
    ],
)
def test_one_that_ends_without_an_answer_says_how(
    method: Method, function: Callable[[Any], Any], task: object, reason: str
) -> None:
    with Worker(method, silent=True) as worker:
        ended = Ended(cause="died", reason=reason)
        assert worker.ask(function, task) == ended
        assert not worker.alive
        assert worker.ask(double, 1) == ended


def test_one_that_closes_its_connection_and_stays_is_killed() -> None:
    start_s = time.monotonic()
    with Worker() as worker:
        outcome = worker.ask(closes_everything, None)
    assert outcome == Ended(cause="died", reason="closed its connection and was stopped")
    assert time.monotonic() - start_s < _END_S


def loops(_: None) -> None:
    while True:
        pass


def test_one_that_loops_is_stopped_at_its_time_limit(worker: Worker) -> None:
    limits = Limits(time_s=0.5)
    reason = "still running after 0.5 s, the time limit; stopped"
    start_s = time.monotonic()
    assert worker.ask(loops, None, limits=limits) == Ended(cause="time", reason=reason)
    assert not psutil.pid_exists(worker.pid)
    assert time.monotonic() - start_s < _END_S


class SlowToRead:
    def __reduce__(self) -> tuple[Callable[[float], None], tuple[float]]:
        return time.sleep, (60.0,)


def test_one_that_never_begins_is_stopped() -> None:
    with Worker() as worker:
        outcome = worker.ask(str, SlowToRead(), limits=Limits(start_s=0.5))
    assert outcome == Ended(cause="start", reason="had not begun after 0.5 s; stopped")


def grows(_: None) -> None:
    held = []
    while True:
        held.append(b"\1" * _MIB)  # not zeros, which take no memory before they are written


def test_one_that_grows_is_stopped_at_its_memory_limit(worker: Worker) -> None:
    outcome = worker.ask(grows, None, limits=Limits(memory_bytes=300 * _MIB))
    reason = "took more than 300 MiB of memory, the limit; stopped"
    assert outcome == Ended(cause="memory", reason=reason)


@dataclass(frozen=True)
class Step:
    number: int


def counts(task: tuple[int, float], send: Send) -> str:
    """Send a step after every pause."""
    number, pause_s = task
    for step in range(number):
        time.sleep(pause_s)
        send(Step(step))
    return "counted"


def test_messages_come_before_the_answer_and_are_signs_of_life(worker: Worker) -> None:
    heard: list[Step] = []
    outcome = worker.stream(counts, (6, 0.3), listener=heard.append, limits=Limits(silence_s=1.2))
    assert outcome == Answer(value="counted")
    assert heard == [Step(number) for number in range(6)]


def test_silence_is_limited_unless_a_pulse_is_felt() -> None:
    limits, beats = Limits(silence_s=0.4), iter(range(1000))
    with Worker() as worker:
        felt = worker.stream(
            counts, (1, 2.0), listener=print, limits=limits, pulse=lambda: next(beats)
        )
        unfelt = worker.stream(
            counts, (1, 60.0), listener=print, limits=limits, pulse=lambda: "still"
        )
    assert felt == Answer(value="counted")
    assert unfelt == Ended(cause="silence", reason="was stopped after hanging for 0.4 s")


def test_messages_without_end_do_not_put_off_the_time_limit() -> None:
    with Worker() as worker:
        outcome = worker.stream(
            counts, (10**9, 0.0), listener=lambda step: None, limits=Limits(time_s=0.5)
        )
    assert isinstance(outcome, Ended)
    assert outcome.cause == "time"


def test_a_listener_that_raises_ends_the_child(method: Method) -> None:
    def refuses(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Worker(method) as worker:
        worker.stream(counts, (1000, 0.01), listener=refuses)
    assert not psutil.pid_exists(worker.pid)


def forks_and_ends(path: str) -> None:
    """Leave a child that holds the channel open, as forks do."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    Path(path).write_text(str(child))
    os._exit(7)


def starts_another(_: None) -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


def is_gone(pid: int) -> bool:
    """Tell whether it ends soon; a zombie that nobody waits for has ended."""
    for _ in range(int(_END_S * 10)):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def test_a_child_of_the_child_delays_no_end_and_dies_with_it(
    method: Method, tmp_path: Path
) -> None:
    with Worker(method) as worker:
        outcome = worker.ask(forks_and_ends, str(tmp_path / "id"))
        assert outcome == Ended(cause="died", reason="ended with status 7")
    assert is_gone(int((tmp_path / "id").read_text()))
    with Worker(method) as worker:
        started = worker.ask(starts_another, None)
        assert isinstance(started, Answer)
    assert is_gone(started.value)


def prints(_: None) -> str:
    print("out of the child", flush=True)  # noqa: T201
    os.write(2, b"error of the child\n")
    return sys.stdin.read()


def closes_output(_: None) -> str:
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)
    return "still here"


def test_what_it_prints_is_no_message_and_can_be_silenced(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Worker() as worker:
        assert worker.ask(prints, None) == Answer(value="")
        assert worker.ask(double, 2) == Answer(value=4)
    out, err = capfd.readouterr()
    assert (out, sorted(err.splitlines())) == ("", ["error of the child", "out of the child"])
    with Worker(silent=True) as worker:
        assert worker.ask(prints, None) == Answer(value="")
    assert capfd.readouterr() == ("", "")


def test_closed_output_keeps_no_answer_back(worker: Worker) -> None:
    assert worker.ask(closes_output, None) == Answer(value="still here")


def test_an_environment_is_given_to_a_fresh_interpreter_and_the_users_own_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINE", "mine")
    with Worker(environment={"MINE": "yours", "YOURS": "yours"}) as worker:
        asked = [worker.ask(os.getenv, name) for name in ("MINE", "YOURS")]
    assert asked == [Answer(value="mine"), Answer(value="yours")]


def test_stopping_from_another_thread_ends_what_is_asked(worker: Worker) -> None:
    threading.Timer(0.5, worker.stop).start()
    assert worker.ask(time.sleep, 60.0) == Ended(cause="stopped", reason="was stopped")


def leaves_a_sign(path: str) -> None:
    import atexit

    atexit.register(Path(path).write_text, "tidied up")


def test_an_idle_worker_ends_by_itself_and_tidies_up(tmp_path: Path) -> None:
    with Worker() as worker:
        worker.ask(leaves_a_sign, str(tmp_path / "sign"))
    assert (tmp_path / "sign").read_text() == "tidied up"
    assert not psutil.pid_exists(worker.pid)


_PARENT = """
import sys
import time
from blockzoo.core.processes import Worker
from tests.core.test_processes import leaves_another, stops_itself, works_for_ever
if __name__ == "__main__":
    with Worker(sys.argv[1]) as worker:
        tasks = {"at work": works_for_ever, "idle": leaves_another, "stopped": stops_itself}
        worker.ask(tasks[sys.argv[3]], sys.argv[2])
        time.sleep(600)
"""


def leaves_another(path: str) -> None:
    started = starts_another(None)
    Path(path).with_suffix(".part").write_text(f"{os.getpid()} {started}")
    Path(path).with_suffix(".part").rename(path)


def works_for_ever(path: str) -> None:
    leaves_another(path)
    loops(None)


def stops_itself(path: str) -> None:
    leaves_another(path)
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("state", ["at work", "idle", "stopped"])
@pytest.mark.parametrize("method", [*_METHODS, "fork"])
def test_when_the_parent_is_killed_the_child_dies_with_all_it_started(
    method: Method, state: str, tmp_path: Path
) -> None:
    script, sign = tmp_path / "script.py", tmp_path / "sign"
    script.write_text(_PARENT)
    root = str(Path(__file__).parents[2])
    environment = child_environment()
    environment["PYTHONPATH"] += os.pathsep + root
    command = [sys.executable, str(script), method, str(sign), state]
    parent = subprocess.Popen(command, env=environment)
    try:
        for _ in range(600):
            if sign.exists():
                break
            assert parent.poll() is None
            time.sleep(0.1)
        pids = [int(pid) for pid in sign.read_text().split()]
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(_END_S)
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"time_s": 0}, "time limit is 0 s; it must be above 0"),
        ({"time_s": float("inf")}, "time limit is inf s"),
        ({"silence_s": -1}, "silence limit is -1 s"),
        ({"memory_bytes": 0}, "memory limit is 0 bytes; it must be above 0"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Limits(**limits)


def forks(answer: int) -> int:
    return answer if os.fork() else -answer


def test_a_fork_that_a_task_makes_answers_nothing() -> None:
    with Worker() as worker:
        assert [worker.ask(forks, 1), worker.ask(forks, 2)] == [Answer(value=1), Answer(value=2)]
        time.sleep(0.3)  # for the forks to come as far
        assert worker.ask(math.sqrt, 4.0) == Answer(value=2.0)


def _kills_its_parent(seconds: float) -> str:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(seconds)
    return "still here"


@pytest.mark.parametrize("seconds", [0.0, 0.2, 1000.0])
def test_one_that_kills_its_parent_dies_and_neither_this_process_nor_another_does(
    method: Method, seconds: float
) -> None:
    with Worker(method) as other, Worker(method) as killer:
        assert other.ask(double, 1) == Answer(value=2)
        assert killer.ask(_kills_its_parent, seconds) == Ended(
            cause="died", reason="died by SIGKILL"
        )
        assert other.ask(double, 2) == Answer(value=4)
    with Worker(method) as later:
        assert later.ask(double, 3) == Answer(value=6)


def _kills_its_parent_and_sends(seconds: float, send: Send) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    while True:
        send(seconds)
        time.sleep(seconds)


def test_one_that_has_killed_its_parent_and_goes_on_sending_is_ended_too() -> None:
    with Worker() as worker:
        heard: list[float] = []
        outcome = worker.stream(_kills_its_parent_and_sends, 0.01, listener=heard.append)
        assert outcome == Ended(cause="died", reason="died by SIGKILL")
        assert heard


def _fork_server(_: None) -> int:
    return psutil.Process(os.getppid()).ppid()


def _fork_server_killed_first(seconds: float) -> str:
    os.kill(_fork_server(None), signal.SIGKILL)
    time.sleep(seconds)
    return "still here"


def test_one_that_kills_the_fork_server_ends_no_other_and_new_ones_start() -> None:
    # The next one is also that of later tests.
    # Here alone, for it brings torch, and every process of these tests imports this module.
    from tests.conftest import PRELOADED

    start = partial(Worker, "forkserver", preload=PRELOADED)
    with start() as other, start() as killer:
        assert other.ask(_fork_server, None) == killer.ask(_fork_server, None)
        assert killer.ask(_fork_server_killed_first, 0.2) == Answer(value="still here")
        assert other.alive
        assert other.ask(math.sqrt, 4.0) == Answer(value=2.0)
        with start() as later:
            assert later.ask(math.sqrt, 9.0) == Answer(value=3.0)
        # It has no fork server any more that could say how it ended.
        assert isinstance(other.ask(time.sleep, 100, limits=Limits(time_s=0.2)), Ended)
        assert not other.alive


def _blocked(_: None) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _of_fork_server(_: None) -> bool:
    """Ask in a process that starts a fork server of its own, whose child is then asked."""
    worker = Worker("forkserver")
    try:
        return worker.ask(_blocked, None) == Answer(value=True)
    finally:
        worker.stop()


@pytest.mark.parametrize("ask", [_blocked, _of_fork_server])
def test_what_starts_never_hears_of_ctrl_c_and_who_starts_it_does(
    ask: Callable[[None], bool],
) -> None:
    worker = Worker("spawn" if ask is _blocked else "interpreter")
    try:
        assert worker.ask(ask, None) == Answer(value=True)
    finally:
        worker.stop()
    assert not _blocked(None)
