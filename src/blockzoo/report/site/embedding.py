"""What stands within a page that is no markup: data, style and scripts, and the policy of all.

A page may load nothing and run nothing but what it holds. Its policy names style and scripts by
their hashes, so whatever text of others gets into a page, no browser runs it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence

from markupsafe import Markup

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_CLOSING = re.compile(r"</\s*(script|style)|<!--", re.IGNORECASE)


def embedded(value: object) -> Markup:
    """Return the value as JSON that may stand within a script element of data.

    Raises `ValueError` for numbers that JSON does not have.

    >>> embedded({"name": "</script>&"})
    Markup('{"name":"\\\\u003c/script\\\\u003e\\\\u0026"}')
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(re.sub("[<>&]", lambda match: _ESCAPES[match[0]], text))


def verbatim(text: str) -> Markup:
    """Return style or script of our own as it is; raises `ValueError` where it would end early.

    >>> verbatim("a < b")
    Markup('a < b')
    """
    if _CLOSING.search(text):
        raise ValueError("a style or a script holds what would end it within a page")
    return Markup(text)


def content_policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return the policy of a page that holds these styles and scripts and nothing else.

    >>> content_policy([], [])
    "default-src 'none'; style-src 'none'; script-src 'none'; img-src data:; base-uri 'none'; \
form-action 'none'"
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hashes(styles)}",
            f"script-src {_hashes(scripts)}",
            "img-src data:",  # the icon
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hashes(texts: Sequence[str]) -> str:
    return " ".join(map(hash_source, texts)) or "'none'"


def hash_source(text: str) -> str:
    """Return the hash of a style or a script as a policy names it.

    >>> hash_source("")
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
