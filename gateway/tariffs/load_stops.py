"""Stops without a network, and where stops lie: zones and sections."""

from __future__ import annotations

from gateway.tariffs.load_names import check_unique
from gateway.tariffs.reader import Table
from gateway.tariffs.source import Network, Station
from gateway.tariffs.source_layers import Names, Zones

STOP_ID_MAX = 2**32 - 1
SECTION_MAX = 10_000
ZONES_MAX = 32
_TOUCHED = ("between", "ends", "path")


def load_stops(root: Table) -> tuple[Station, ...]:
    """[[stop]]: the stations of a tariff without lines."""
    stops = tuple(_read_stop(row) for row in root.tables("stop", needed=False))
    check_unique(root, "stop", [stop.zh for stop in stops])
    numbers = [stop.stop_id for stop in stops]
    for number in sorted({one for one in numbers if numbers.count(one) > 1}):
        root.fault("stop", f"id {number} is there twice")
    return stops


def load_zones(root: Table) -> Zones:
    """[zones]; no names when there are none."""
    if not root.has("zones"):
        return Zones()
    table = root.table("zones")
    names = table.texts("names")
    touched = table.choice("touched", _TOUCHED, "between")
    table.close()
    check_unique(table, "names", names)
    if len(names) > ZONES_MAX:
        table.fault("names", f"{len(names)} zones", f"at most {ZONES_MAX}")
    if touched == "path" and not root.has("network"):
        table.fault("touched", "path needs [network]", "take between or ends")
    return Zones(names[:ZONES_MAX], touched)


def read_place(row: Table) -> tuple[Names, int]:
    """Zones and section of one stop, as written; -1 = no section."""
    zones = (row.text("zone"),) if row.has("zone") else row.texts("zones", ())
    return zones, row.whole("section", -1, low=-1, high=SECTION_MAX)


def check_zones(root: Table, network: Network, zones: Zones) -> None:
    """Note stops in zones that nobody declared."""
    key = "stop" if root.has("stop") else "network"
    for station in network.stations:
        for name in sorted(set(station.zones) - set(zones.names)):
            hint = "zones.names: " + (", ".join(zones.names) or "none")
            root.fault(key, f"{station.stop_id} {station.zh}: {name!r} is not a zone", hint)


def _read_stop(row: Table) -> Station:
    names = [row.text(key) if row.has(key) else "" for key in ("zh", "en")]
    if not any(names):
        row.fault(None, "has no name", "write zh, en or both")
    zones, section = read_place(row)
    stop = Station(
        stop_id=row.whole("id", low=1, high=STOP_ID_MAX),
        zh=names[0] or names[1],
        py=row.text("py", ""),
        en=names[1],
        also=row.texts("also", ()),
        zones=zones,
        section=section,
    )
    row.close()
    return stop
