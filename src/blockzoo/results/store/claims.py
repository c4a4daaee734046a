"""Claims: which driver has a trial in hand, so that several drivers of one store do none twice.

A claim is a lease that its driver renews: it raises a number beside the claim. Whoever has seen the
number stand still for the length of a lease, by its own monotonic clock, may take the claim over.
So no two clocks are ever compared, and a clock set back, or one machine's that is off, neither
makes a claim eternal nor has a trial done twice. What a dead process of the same machine held is
taken over at once, for its end is seen.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Literal

import psutil
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from blockzoo.core.errors import ResultsError
from blockzoo.results.store.database import Store
from blockzoo.results.store.schema import RECORDS, lock_schema

LEASE_S = 60.0
_RENEWALS_A_LEASE = 3
_PART = 200
# In /proc/PID/stat, after the name: proc(5).
_STATE, _START = 0, 19

CLAIMS = Table(
    "trial_claims",
    MetaData(),
    Column("trial_id", String(64), primary_key=True),
    Column("driver", String(64), nullable=False, index=True),
    Column("machine", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("process_started", Float, nullable=False),
    Column("renewals", BigInteger, nullable=False),
)
"""Made when a first trial is claimed; a store may lack it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What came of asking for a trial.

    Attributes:
        state: "mine", "done" where others have recorded it meanwhile, or "elsewhere" where another
            driver has it in hand.
        left: Of the ids asked for those that are still to be done; none but where it is mine.
    """

    state: Literal["mine", "done", "elsewhere"]
    left: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What was last seen of another driver's claim, and since when it has been so."""

    driver: str
    renewals: int
    since_s: float


class Claims:
    """The claims of one driver on trials; a context manager that renews them.

    What is in the store when this is made does not count as done by others, whatever it is: the
    plan decides of it. So it is made before the plan, else what others record in between would be
    planned by none and done again.

    Args:
        store: Where records and claims are.
        lease_s: How long a claim holds that is not renewed.
        clock: Seconds that never go back.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
        ...     with Claims(store) as mine, Claims(store) as others:
        ...         mine.take(["1f"]).state, others.take(["1f"]).state
        ('mine', 'elsewhere')
    """

    def __init__(
        self,
        store: Store,
        *,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._lease_s, self._clock = store, lease_s, clock
        self._driver = uuid.uuid4().hex
        self._lock, self._over = threading.Lock(), threading.Event()
        self._held: set[str] = set()
        self._released: set[str] = set()
        self._seen: dict[str, _Seen] = {}
        self._there = False
        """Whether the table is known to be there."""
        with store._transaction() as connection:
            stamps = connection.execute(select(RECORDS.c.trial_id, RECORDS.c.created_at))
            self._at_start = {row.trial_id: row.created_at for row in stamps}
        self._thread = threading.Thread(target=self._keep_renewing, daemon=True)

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if not self._there:
            return
        try:
            with self._store._transaction(write=True) as connection:
                connection.execute(delete(CLAIMS).where(CLAIMS.c.driver == self._driver))
        except ResultsError as failure:  # they run out by themselves
            _log.warning("%s", f"claims were not given back: {failure}")

    def take(self, trial_ids: Sequence[str]) -> Claim:
        """Claim a trial, all its ids or none of them, unless it is done or another's.

        Args:
            trial_ids: Those of its records.

        Returns:
            What came of it.

        Raises:
            ResultsError: When the store cannot be written.
        """
        with self._lock, self._writing() as connection:
            stamps = _stamps(connection, trial_ids)
            left = [each for each in trial_ids if stamps.get(each) == self._at_start.get(each)]
            if not left:
                return Claim(state="done")
            others = self._of_others(connection, left)
            # All are asked, so that each is watched from now on.
            running = [claim for claim in others if not self._has_run_out(claim)]
            if running:
                return Claim(state="elsewhere")
            for part in _parts(left):
                connection.execute(delete(CLAIMS).where(CLAIMS.c.trial_id.in_(part)))
            rows = [{"trial_id": each, **self._mine} for each in left]
            connection.execute(insert(CLAIMS), rows)
            self._held.update(left)
        return Claim(state="mine", left=tuple(left))

    def release(self, trial_ids: Collection[str]) -> None:
        """Give up trials that are recorded; others hear of it by their records at once.

        Args:
            trial_ids: Those of the trial's records.
        """
        with self._lock:
            # With the next write: a transaction of its own would cost another sync to the disk.
            self._held.difference_update(trial_ids)
            self._released.update(trial_ids)

    def renew(self) -> None:
        """Raise the number beside all claims of this driver.

        Raises:
            ResultsError: When the store cannot be written.
        """
        with self._lock:
            if not self._held:
                return
            with self._writing() as connection:
                mine = CLAIMS.c.driver == self._driver
                connection.execute(
                    update(CLAIMS).where(mine).values(renewals=CLAIMS.c.renewals + 1)
                )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Begin a transaction in which no other driver reads or writes claims."""
        with self._store._transaction(write=True) as connection:
            # SQLite's writers are alone anyway.
            lock_schema(connection)
            # Looked for each time: a store whose file was removed is made anew, without it.
            CLAIMS.create(connection, checkfirst=True)
            self._there = True
            if self._released:
                self._forget(connection, self._released)
            yield connection
        self._released = set()

    def _forget(self, connection: Connection, trial_ids: Collection[str]) -> None:
        for part in _parts(trial_ids):
            mine = (CLAIMS.c.driver == self._driver) & CLAIMS.c.trial_id.in_(part)
            connection.execute(delete(CLAIMS).where(mine))

    def _of_others(self, connection: Connection, trial_ids: Collection[str]) -> list[RowMapping]:
        """Return the claims of other drivers on those trials, whether they still hold or not."""
        columns = select(CLAIMS).where(CLAIMS.c.driver != self._driver)
        parts = (columns.where(CLAIMS.c.trial_id.in_(part)) for part in _parts(trial_ids))
        return [row for part in parts for row in connection.execute(part).mappings()]

    @property
    def _mine(self) -> dict[str, object]:
        return {
            "driver": self._driver,
            "machine": _machine(),
            "pid": os.getpid(),
            "process_started": _start_of(os.getpid()) or 0.0,
            "renewals": 0,
        }

    def _has_run_out(self, claim: RowMapping) -> bool:
        if claim["machine"] == _machine() and _start_of(claim["pid"]) != claim["process_started"]:
            return True
        trial, now_s = claim["trial_id"], self._clock()
        seen = self._seen.get(trial)
        if seen is None or (seen.driver, seen.renewals) != (claim["driver"], claim["renewals"]):
            driver, renewals = claim["driver"], claim["renewals"]
            self._seen[trial] = _Seen(driver=driver, renewals=renewals, since_s=now_s)
            return False
        return now_s - seen.since_s >= self._lease_s

    def _keep_renewing(self) -> None:
        while not self._over.wait(self._lease_s / _RENEWALS_A_LEASE):
            self._renew_or_say()

    def _renew_or_say(self) -> None:
        try:
            self.renew()
        except ResultsError as error:  # the next time, or another driver has them
            _log.warning("%s", f"claims were not renewed: {error}")


def _stamps(connection: Connection, trial_ids: Collection[str]) -> Mapping[str, object]:
    """Return when the records of those ids that are there were made, to tell others from them."""
    columns = select(RECORDS.c.trial_id, RECORDS.c.created_at)
    found: dict[str, object] = {}
    for part in _parts(trial_ids):
        rows = connection.execute(columns.where(RECORDS.c.trial_id.in_(part)))
        found |= {row.trial_id: row.created_at for row in rows}
    return found


def _parts(trial_ids: Collection[str]) -> Iterator[list[str]]:
    ids = iter(trial_ids)
    while part := list(islice(ids, _PART)):
        yield part


@cache
def _machine() -> str:
    """Return what names this machine, or this container: where ids of processes mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # outside Linux
        return platform.node()


def _start_of(pid: int) -> float | None:
    """Return when that process began, as a number that stays; None where there is none."""
    try:
        # Not in seconds since 1970, which change as the clock is set.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_elsewhere(pid)
    # One that was killed and not waited for yet is gone.
    return None if fields[_STATE] in "ZX" else float(fields[_START])


def _start_elsewhere(pid: int) -> float | None:
    """Return the same outside Linux."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
