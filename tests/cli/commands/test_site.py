"""`blockzoo site` as a command: what it writes and says, and what it refuses."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest

from blockzoo.report.site import serving
from tests.cli.commands.running import run
from tests.report.site.boards import ordinary, put


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(ordinary()[:8], "results").close()


def test_it_writes_pages_and_says_where_to_begin() -> None:
    status, output, _ = run("site", "--out", "board")
    assert status == 0
    assert "begin with board/index.html" in output
    assert Path("board/index.html").is_file()


def test_it_refuses_what_is_no_site_before_it_reads() -> None:
    Path("site").mkdir()
    Path("site/thesis.txt").touch()
    status, output, error = run("site", "--results", "nowhere")
    assert (status, output) == (2, "")
    assert error == "error: --out is site; it holds files that are no site\n"


def test_it_says_which_store_is_missing_or_empty(tmp_path: Path) -> None:
    status, _, error = run("site", "--results", "nowhere")
    assert status == 1
    assert "nowhere" in error
    put([], "empty").close()
    status, _, error = run("site", "--results", "empty")
    assert (status, error.count("\n")) == (2, 1)
    assert "holds no records" in error


def test_a_site_is_served_to_this_machine_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("index.html").write_text("here")
    pages: list[bytes] = []

    def read_once(server: ThreadingHTTPServer) -> None:
        reader = Thread(
            target=lambda: pages.append(urlopen(addresses[0], timeout=10).read()), daemon=True
        )
        reader.start()
        server.handle_request()
        reader.join(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", read_once)
    addresses: list[str] = []
    serving.serve(".", addresses.append)
    assert addresses[0].startswith("http://127.0.0.1:")
    assert pages == [b"here"]
