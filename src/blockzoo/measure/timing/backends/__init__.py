"""What executes a network, each behind one interface: torch itself, ONNX Runtime, OpenVINO.

A backend is a class in a file of this room that says `@register_backend`; nothing else lists it.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from blockzoo.core.errors import UnknownNameError
from blockzoo.measure.timing.backends.base import REGISTERED, Backend, Loaded

__all__ = ["Backend", "Loaded", "backend_names", "get_backend"]


for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")
# Eager first: it is what the others are gated against.
_BY_NAME = {
    backend.name: backend
    for backend in sorted(REGISTERED, key=lambda each: (each.name != "eager", each.name))
}


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, whether or not they can be used here.

    >>> backend_names()[:3]
    ('eager', 'compile', 'cudagraphs')
    """
    return tuple(_BY_NAME)


def get_backend(name: str) -> Backend:
    """Return the backend of that name; raises `UnknownNameError`.

    >>> get_backend("eager").name
    'eager'
    """
    if name not in _BY_NAME:
        raise UnknownNameError("backend", name, _BY_NAME)
    return _BY_NAME[name]
