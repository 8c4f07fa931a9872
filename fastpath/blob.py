"""What packing and loading of compiled tariffs share: the two errors and small checks.

Must import only the standard library.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence


class TariffSpecError(ValueError):
    """A TariffSpec that cannot be compiled."""

    code = "TARIFF_SPEC"


class TariffBlobError(ValueError):
    """Bytes that are not a sound compiled tariff of this format."""

    code = "TARIFF_BLOB"


def require(holds: bool, what: str) -> None:
    """Raises: TariffBlobError: `what`, when it does not hold."""
    if not holds:
        raise TariffBlobError(what)


def require_within(name: str, value: int, low: int, high: int) -> None:
    """Raises: TariffBlobError: the value lies outside."""
    if not low <= value <= high:
        raise TariffBlobError(f"{name} is {value}, outside {low} to {high}")


def sized(name: str, values: Sequence[int], count: int) -> Sequence[int]:
    """The first `count` entries. Raises: TariffSpecError: there are fewer."""
    if len(values) < count:
        raise TariffSpecError(f"{name} has {len(values)} entries, {count} are needed")
    return values[:count]


def packed(typecode: str, name: str, values: Iterable[int]) -> bytes:
    """Numbers as little-endian bytes. Raises: TariffSpecError: one does not fit."""
    try:
        return array(typecode, values).tobytes()
    except (OverflowError, TypeError) as error:
        raise TariffSpecError(f"{name}: {error}") from error
