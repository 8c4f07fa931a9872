"""The watermark as a small file, for those who use no SQL: the data plane checks it at its start.

A journal that ends before it, or holds another group there, has lost its tail, and is refused.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class MarkFile:
    """What the ledger has seen of the journal."""

    position: int
    chain_hash: bytes


def write_mark(path: Path, mark: MarkFile) -> None:
    """Put it in place in one step. Not synced: an older one is a weaker witness, never a wrong one.

    Raises: OSError.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    said = {"position": mark.position, "chain_hash": mark.chain_hash.hex()}
    fresh.write_text(json.dumps(said) + "\n")
    fresh.replace(path)


def find_mark(path: Path) -> MarkFile | None:
    """None: nothing was projected yet. Raises: ConfigError: the file is damaged."""
    try:
        said = json.loads(path.read_text())
        return MarkFile(int(said["position"]), bytes.fromhex(said["chain_hash"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "LEDGER_MARK", f"{path}: {error}", hint="remove it: the ledger writes another one"
        ) from error
