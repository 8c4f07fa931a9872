"""How a feed becomes a tariff: what it cannot say itself, and where engines and text differ."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date


@dataclass(frozen=True, slots=True)
class Switches:
    """Where trip planners read Fares v2 otherwise than its text says. All off = the text."""

    timeframe_end_included: bool = False
    """A timeframe lasts through its end_time, which the text excludes."""
    timeframe_over_midnight: bool = False
    """A timeframe may end before it begins: it goes on after midnight, on days of its service."""
    transfer_product_once: bool = False
    """The product of a transfer is paid once for legs in a row, not for each transfer."""
    product_held: bool = False
    """A transfer to another product goes only from a leg that was itself paid for."""
    transfer_type_ignored: bool = False
    """Every transfer is of type 0: the first leg and the transfer's product."""
    outside_matches_empty: bool = False
    """An empty area or network also means stops in no area and routes in no network."""


LIKE_OTP = Switches(
    timeframe_end_included=True,
    timeframe_over_midnight=True,
    transfer_product_once=True,
    product_held=True,
    transfer_type_ignored=True,
    outside_matches_empty=True,
)
"""As OpenTripPlanner reads a feed."""

SWITCH_NAMES = tuple(one.name for one in fields(Switches))


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Everything beside the feed itself."""

    tariff_id: str = ""
    """"" = the name of the feed."""
    version: str = ""
    """"" = the version of feed_info.txt, else its first day."""
    zone: str = ""
    """"" = that of the first agency, else UTC."""
    valid_from: date | None = None
    valid_until: date | None = None
    """The first day on which the tariff does not hold any more. None = what the feed says."""
    switches: Switches = field(default_factory=Switches)
    passes: frozenset[str] = frozenset()
    """Products that are no fare of one ride."""
    media: dict[str, str] = field(default_factory=dict)
    """Kind of medium (card, phone ...) -> fare_media_id it stands for."""
    categories: tuple[str, ...] = ()
    """Rider categories in the order of the numbers accounts have; () = the feed's order."""
    category_fallback: bool = False
    """What is not sold to a category costs it what it costs the default one."""
    v1_measured_at_arrival: bool = False
    """Fares v1: transfer_duration ends with the arrival of the last ride, not its boarding."""
