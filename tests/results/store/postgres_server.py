"""A PostgreSQL server that tests start themselves, where its programs are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import create_engine, text


def _tool(name: str) -> str | None:
    # Debian keeps the server's programs out of the path.
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join(map(str, places))) or shutil.which(name)


INITDB, PG_CTL = _tool("initdb"), _tool("pg_ctl")
MISSING = INITDB is None or PG_CTL is None or sys.platform == "win32"


class Server:
    """A server with a socket in a folder of its own, and nothing in it yet."""

    def __init__(self) -> None:
        # Not in pytest's own folder, which only its owner can enter, and short, as sockets must be.
        self.folder = Path(tempfile.mkdtemp(prefix="bz"))
        self._data = self.folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self.folder, pwd.getpwnam("nobody").pw_uid)
        self._run(INITDB, "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync")

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        self._run(PG_CTL, "-D", str(self._data), "-w", "-o", options, "start")

    def kill(self) -> None:
        """Kill it as a power cut would, but that its children notice by themselves."""
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def start_again(self) -> None:
        """Start it after it was killed: its children must be gone first."""
        for _ in range(60):
            with suppress(subprocess.CalledProcessError):
                return self.start()
            time.sleep(0.5)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run(PG_CTL, "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self, name: str) -> str:
        """Return the URL of an empty database of that name."""
        engine = create_engine(f"postgresql+psycopg://postgres@/postgres?host={self.folder}")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _run(self, *command: str | None) -> None:
        # A server refuses to run as root, so that nobody does it there.
        user = "nobody" if os.geteuid() == 0 else None
        # Not through pipes, which the server would hold open.
        with (self.folder / "log").open("a") as log:
            subprocess.run(
                [part for part in command if part], check=True, cwd=self.folder, user=user,
                stdout=log, stderr=log,
            )  # fmt: skip
