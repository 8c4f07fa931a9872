"""Ids of a feed as the numbers that taps carry: the same id has the same number in every version.

A plain number is itself; anything else is its CRC-32 with the top bit set, so that the two never
meet. Areas and networks have numbers too (`area:ID`, `network:ID`), for validators that know no
stop or route.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from gateway.tariffs.gtfs.findings import Findings

_PLAIN = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_TOP_BIT = 1 << 31


def number_of(public_id: str) -> int:
    """The number of a stop or route id."""
    if _PLAIN.fullmatch(public_id):
        return int(public_id)
    return zlib.crc32(public_id.encode()) | _TOP_BIT


def area_key(area_id: str) -> str:
    """What stands for any stop of an area."""
    return f"area:{area_id}"


def network_key(network_id: str) -> str:
    """What stands for any route of a network."""
    return f"network:{network_id}"


def number_all(ids: Iterable[str], file: str, findings: Findings) -> dict[str, int]:
    """Numbers of ids; two ids with one number are a finding."""
    numbers: dict[str, int] = {}
    taken: dict[int, str] = {}
    for one in ids:
        numbers[one] = number_of(one)
        other = taken.setdefault(numbers[one], one)
        if other != one:
            findings.add("GTFS_ID_CLASH", file, f"{other!r} and {one!r} are both {numbers[one]}")
    return numbers
