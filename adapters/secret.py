"""Secrets of an adapter: in a file of their own, which nobody but its owner may read."""

from __future__ import annotations

import stat
from pathlib import Path

from adapters.errors import Misconfigured

LENGTH_MIN = 16
WEAK = frozenset({"changeme", "password", "secret", "default"})


def read_secret(path: Path) -> str:
    """The secret in a file, without the line's end.

    Raises: Misconfigured: not there, readable by others, too short, or a well-known word.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: {type(error).__name__}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise Misconfigured(f"{path} can be read by others: chmod 600")
    if len(text) < LENGTH_MIN or text.lower().rstrip("0123456789") in WEAK:
        raise Misconfigured(f"{path}: a secret has {LENGTH_MIN} characters or more")
    return text
