"""A site served to this machine alone, for a look; to publish it any server of files will do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Quiet(SimpleHTTPRequestHandler):
    """Answers from a folder, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(folder: str | Path, tell: Callable[[str], None]) -> None:
    """Serve the folder until somebody presses Ctrl-C, at a free port of this machine.

    Args:
        folder: Of the site.
        tell: Is called with the address.
    """
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        tell(f"http://127.0.0.1:{server.server_port}/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
