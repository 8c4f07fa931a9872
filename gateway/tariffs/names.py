"""Finding a station by id or by any of its names.

Spelling is forgiven where it cannot mislead: width, case, spaces, apostrophes, hyphens, and a
trailing "station" or 站. A name of two stations, or of none, is an error that lists candidates.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

from gateway.errors import TariffError
from gateway.tariffs.source import Station

_DROPPED = str.maketrans("", "", " '’-·")
_SUFFIXES = ("subwaystation", "metrostation", "station", "站")
_CLOSE_MAX = 5


class StationNames:
    """All names of a network's stations."""

    def __init__(self, stations: Iterable[Station]) -> None:
        self._by_id = {station.stop_id: station for station in stations}
        self._by_name: dict[str, list[Station]] = {}
        for station in self._by_id.values():
            for key in dict.fromkeys(_keys(station)):
                self._by_name.setdefault(key, []).append(station)

    def get(self, text: str) -> Station:
        """The one station meant by an id or a name.

        Raises: TariffError: TARIFF_STATION_UNKNOWN, TARIFF_STATION_AMBIGUOUS, with candidates.
        """
        found = self._find(text)
        if len(found) == 1:
            return found[0]
        if found:
            raise TariffError(
                "TARIFF_STATION_AMBIGUOUS",
                f"{text!r} may be any of {len(found)} stations",
                hint="give the full name or the id: " + "; ".join(map(describe, found)),
                findings=[describe(station) for station in found],
            )
        close = [describe(station) for station in self._close(text)]
        hint = "did you mean: " + "; ".join(close) if close else "see `faregate tariff show`"
        raise TariffError(
            "TARIFF_STATION_UNKNOWN", f"{text!r} is not a station", hint=hint, findings=close
        )

    def ambiguous(self) -> dict[str, tuple[Station, ...]]:
        """Spellings that mean more than one station."""
        return {key: tuple(found) for key, found in self._by_name.items() if len(found) > 1}

    def _find(self, text: str) -> list[Station]:
        plain = unicodedata.normalize("NFKC", text).strip()
        if plain.isascii() and plain.isdecimal():
            station = self._by_id.get(int(plain))
            return [station] if station else []
        key = normal_name(text)
        found = self._by_name.get(key)
        for suffix in _SUFFIXES:
            found = found or self._by_name.get(key.removesuffix(suffix))
        return found or []

    def _close(self, text: str) -> list[Station]:
        keys = get_close_matches(normal_name(text), self._by_name, n=_CLOSE_MAX, cutoff=0.5)
        stations = [station for key in keys for station in self._by_name[key]]
        return list({station.stop_id: station for station in stations}.values())[:_CLOSE_MAX]


def normal_name(text: str) -> str:
    """The form under which names are compared."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_DROPPED)


def describe(station: Station) -> str:
    """One station as shown to people: 101 苹果园 Pingguoyuan."""
    return f"{station.stop_id} {station.zh} {station.latin}".rstrip()


def _keys(station: Station) -> Iterable[str]:
    """Normal forms of all names, also without the line in brackets, which two may share."""
    for name in station.names:
        key = normal_name(name)
        yield key
        yield key.partition("(")[0]
