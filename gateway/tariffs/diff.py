"""What changes when a new version of a tariff comes: journeys that cost something else, and rules.

Journeys are priced by the engine on both. Without journeys, single rides are made up: between all
stops that both know (or a sample of them), of distances about the ends of all bands, for every
category, once in every time frame.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product

from fastpath.types import MediumKind
from gateway.tariffs.diff_rules import RuleChange, diff_rules
from gateway.tariffs.explain_rows import find_frame
from gateway.tariffs.journeys import JourneyRequest, LegRequest, instant_of, parse_journeys
from gateway.tariffs.load_examples import find_network
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.quote import Quote, quote_journey
from gateway.tariffs.source_layers import FareRow, TapBands
from gateway.tariffs.units import format_amount

RIDES_MAX = 2000
FRAME_SEARCH_DAYS = 14
NO_DISTANCE = (0,)


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A journey that costs something else; None = it has no price, and why."""

    journey_id: str | int | None
    before: str | None
    after: str | None
    reason: str

    def as_dict(self) -> dict[str, object]:
        """As JSON."""
        return {
            "id": self.journey_id,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class TariffDiff:
    """All that differs. `is_complete`: no ride was left out of what was made up."""

    journeys: tuple[PriceChange, ...]
    rules: tuple[RuleChange, ...]
    compared: int
    is_complete: bool

    def as_dict(self) -> dict[str, object]:
        """As JSON."""
        return {
            "journeys": [one.as_dict() for one in self.journeys],
            "rules": [one.as_dict() for one in self.rules],
            "compared": self.compared,
            "is_complete": self.is_complete,
        }


def diff_tariffs(before: LoadedTariff, after: LoadedTariff, data: object = None) -> TariffDiff:
    """Compare two versions of a tariff.

    Args: data: journeys as they come from JSON; None = rides are made up.
    Raises: TariffError: TARIFF_JOURNEYS.
    """
    if data is not None:
        journeys = parse_journeys(data)
        is_complete = True
    else:
        made = list(list_rides(before, after))
        is_complete = len(made) <= RIDES_MAX
        journeys = list(made if is_complete else random.Random(1).sample(made, RIDES_MAX))
    changes = []
    for journey in journeys:
        pair = quote_journey([before], journey), quote_journey([after], journey)
        if _said(pair[0]) != _said(pair[1]):
            changes.append(_change(*pair))
    rules = tuple(diff_rules(before.path, after.path))
    return TariffDiff(tuple(changes), rules, len(journeys), is_complete)


def _said(quote: Quote) -> tuple[str | None, str, str]:
    return _amount(quote), quote.currency, "" if quote.total_minor is not None else quote.reason


def _amount(quote: Quote) -> str | None:
    return None if quote.total_minor is None else format_amount(quote.total_minor, quote.exponent)


def _change(before: Quote, after: Quote) -> PriceChange:
    reasons = [f"{one.reason}: {one.detail}" for one in (before, after) if one.total_minor is None]
    return PriceChange(before.journey_id, _amount(before), _amount(after), "; ".join(reasons))


def list_rides(before: LoadedTariff, after: LoadedTariff) -> Iterator[JourneyRequest]:
    """Single rides for every pair of stops, distance, network, category and time frame."""
    categories = [one.name for one in after.source.layers.categories] or [""]
    networks = after.source.layers.networks
    network_of = {one.lines[0] if one.lines else 0: one.name for one in networks}
    moments = list(_moments(before, after))
    for name, line, (frame, day, seconds) in product(categories, network_of, moments):
        for start, end, metres in _ways(before, after, line):
            leg = LegRequest(start, end, "", day, seconds, seconds + 2400, line, metres)
            said = [f"{start} → {end}" if start else "", f"{metres} m" if metres else ""]
            said += [network_of[line], name, frame]
            words = " ".join(word for word in said if word)
            yield JourneyRequest(words, MediumKind.CARD, (leg,), name)


def _moments(before: LoadedTariff, after: LoadedTariff) -> Iterator[tuple[str, date, int]]:
    """One instant in each time frame of either version, from the day on that both hold."""
    source = after.source
    first = max(before.source.valid_from, source.valid_from)
    seen: set[tuple[str, str]] = set()
    for offset, hour in product(range(FRAME_SEARCH_DAYS), (12, 8, 17, 22, 5, 7, 19)):
        day = first + timedelta(days=offset)
        ts_us = instant_of(day, hour * 3600, source.zone)
        names = tuple(find_frame(one.source, one.spec, ts_us) for one in (before, after))
        if names not in seen:
            seen.add((names[0], names[1]))
            yield names[1], day, hour * 3600


def _ways(before: LoadedTariff, after: LoadedTariff, line: int) -> Iterator[tuple[str, str, int]]:
    """Stops, or distances where there are none."""
    network = find_network(after.source.layers, line)
    ids = [{one.stop_id for one in both.source.network.stations} for both in (before, after)]
    stops = sorted(ids[0] & ids[1])
    once = network is not None and network.taps_once
    distances = _distances(before, after, line)
    if not stops or (once and distances != NO_DISTANCE):
        yield from (("", "", metres) for metres in distances)
        return
    ends = stops if not once else stops[:1]
    for start, end in product(stops, ends):
        yield from ((str(start), str(end), metres) for metres in distances)


def _distances(before: LoadedTariff, after: LoadedTariff, line: int) -> tuple[int, ...]:
    found = set()
    for tariff in (before, after):
        network = find_network(tariff.source.layers, line)
        for row in tariff.source.layers.fares:
            if isinstance(row.form, TapBands) and _is_on(row, network.name if network else ""):
                ends = row.form.to_m
                found |= {metres for end in ends for metres in (end, end + 1)}
                found |= {ends[-1] + step * max(row.form.per_m, 1) for step in (1, 2, 3)}
    return tuple(sorted(found)) or NO_DISTANCE


def _is_on(row: FareRow, network: str) -> bool:
    return not row.networks or network in row.networks
