"""Checkpoints: one file that is always whole, and never taken for another training's.

A file begins with a line that holds the SHA-256 of what follows, so that a damaged one is known.
It is written beside the old one, brought to the disk and renamed: whenever the process is killed,
the file is the one of the last epoch or of the one before.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch

from blockzoo.core.files import remove_scraps, replacing

# To be raised when other state is saved: what is older is then not gone on from.
_FORMAT = 1
_DIGEST_BYTES = 64


def save_checkpoint(path: Path, identity: str, state: dict[str, Any]) -> None:
    """Write `state` (plain values and tensors) of the training `identity`, atomically.

    Raises `ResultsError` when the file cannot be written; the old one is then as it was.
    """
    content = io.BytesIO()
    torch.save({"format": _FORMAT, "identity": identity, "state": state}, content)
    data = content.getbuffer()
    with replacing(path) as scratch, scratch.open("wb") as file:
        file.write(hashlib.sha256(data).hexdigest().encode() + b"\n")
        file.write(data)


def load_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Return the state in `path`, on the CPU, or None where there is no file to go on from.

    A file that is damaged or of another training is not used: one warning says so.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(Path(folder) / "a.ckpt", "this training", {"epochs": 3})
    ...     load_checkpoint(Path(folder) / "a.ckpt", "this training")
    {'epochs': 3}
    """
    if not path.exists():
        return None
    try:
        saved = _read(path)
    except Exception as error:  # noqa: BLE001 - whatever is in the file, training can start afresh
        _warn(path, f"cannot be read ({type(error).__name__})")
        return None
    if saved is None:
        _warn(path, "is damaged")
        return None
    if saved.get("format") != _FORMAT or saved.get("identity") != identity:
        _warn(path, "is of another training")
        return None
    state: dict[str, Any] = saved["state"]
    return state


def _read(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        digest = file.read(_DIGEST_BYTES + 1).rstrip(b"\n").decode()
        data = file.read()
    if hashlib.sha256(data).hexdigest() != digest:
        return None
    # `weights_only`: a checkpoint that somebody else made must not run code.
    saved: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return saved


def _warn(path: Path, why: str) -> None:
    # Seen where `fit` is called: above this are `load_checkpoint`, `Loop.resume` and `fit`.
    warnings.warn(f"checkpoint {path} {why}; training starts afresh", UserWarning, stacklevel=5)


def checkpoint_path(folder: Path | None, trial: str) -> Path | None:
    """Return where the checkpoint of the trial of that id is kept; nowhere without a folder.

    >>> checkpoint_path(Path("results/checkpoints"), "0a1b").as_posix()
    'results/checkpoints/0a1b.ckpt'
    """
    return None if folder is None else folder / f"{trial}.ckpt"


def remove_checkpoint(folder: Path | None, trial: str) -> None:
    """Remove the checkpoint of the trial of that id, if there is one."""
    path = checkpoint_path(folder, trial)
    if path is not None:
        path.unlink(missing_ok=True)


def checkpointed_trials(folder: Path | None) -> set[str]:
    """Return the ids of the trials whose checkpoints lie in `folder`, where no scraps stay."""
    if folder is not None:
        remove_scraps(folder)
    return set() if folder is None else {path.stem for path in folder.glob("*.ckpt")}
