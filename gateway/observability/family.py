"""What a metric family is: its name, kind, help and labels. Every collector lists its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family. `slot` where it is a single number of the page, divided by `divisor`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    slot: int = -1
    divisor: int = 1
