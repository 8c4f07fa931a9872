"""City files: what the wallet can do in a city, and with which tariffs.

`load_city` reads one TOML file and tells all its faults at once, with line and key. References are
checked: tariffs exist, are in the city's currency and time zone, and have the network that a
service names. Must not import engines or planes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.errors import ConfigError
from gateway.tariffs.load_names import MEDIA, check_unique, pick, read_title, read_zone
from gateway.tariffs.reader import Document, Findings, Table, load_document
from gateway.tariffs.units import CURRENCIES

FORMAT = 1
KINDS = ("metro", "bus", "hospital", "school", "venue")
LANGUAGES = ("zh", "en")
ALL_NETWORKS = "all"


@dataclass(frozen=True, slots=True)
class Service:
    """Something the wallet pays for in a city."""

    kind: str
    title: dict[str, str]
    media: tuple[str, ...]
    tariff: str
    """Prices it; "" = the terminal sends the amount."""
    network: str
    """Of the tariff; "" = all of it."""
    url: str
    says: str
    assumed: str
    """What somebody had to decide; "" = all of it is in the source."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "kind": self.kind,
            "title": self.title,
            "media": list(self.media),
            "tariff": self.tariff or None,
            "network": self.network or None,
            "source": {"url": self.url, "says": self.says} if self.url else None,
            "assumed": self.assumed or None,
        }


@dataclass(frozen=True, slots=True)
class City:
    """One city file."""

    city_id: str
    path: Path
    title: dict[str, str]
    currency: str
    zone: ZoneInfo
    languages: tuple[str, ...]
    tariffs: tuple[str, ...]
    services: tuple[Service, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "id": self.city_id,
            "file": str(self.path),
            "title": self.title,
            "currency": self.currency,
            "zone": self.zone.key,
            "languages": list(self.languages),
            "tariffs": list(self.tariffs),
            "services": [one.as_dict() for one in self.services],
        }


def load_city(path: Path, tariffs: Mapping[str, Path]) -> City:
    """Read and check a city file.

    Args: tariffs: the files of the tariffs that can be found, by id.
    Raises: ConfigError: CITY_INVALID with all findings.
    """
    findings = Findings()
    document = load_document(path, findings)
    if document.data:
        root = Table.root(document, findings)
        city = _read(root, path, tariffs)
        root.close()
        if not findings.items:
            return city
    found = sorted(dict.fromkeys(findings.items), key=lambda one: one.line)
    raise ConfigError(
        "CITY_INVALID", f"{path.name}: {len(found)} faults", findings=[str(one) for one in found]
    )


def _read(root: Table, path: Path, tariffs: Mapping[str, Path]) -> City:
    root.whole("format", low=FORMAT, high=FORMAT)
    city = City(
        city_id=root.text("id"),
        path=path,
        title=read_title(root, needed=True),
        currency=root.choice("currency", tuple(CURRENCIES)),
        zone=read_zone(root),
        languages=pick(root, "languages", LANGUAGES),
        tariffs=root.texts("tariffs"),
        services=tuple(_read_services(root, tariffs)),
    )
    if city.city_id != path.stem:
        root.fault("id", f"is {city.city_id!r}", f"the name of the file: {path.stem}")
    if not city.languages:
        root.fault("languages", "none is named", "any of " + ", ".join(LANGUAGES))
    if not city.services:
        root.fault("service", "there is none", "write a [[service]] for what the wallet pays")
    check_unique(root, "service", [one.kind for one in city.services])
    for name in city.tariffs:
        _check_tariff(root, city, name, tariffs)
    for name in sorted({one.tariff for one in city.services if one.tariff} - set(city.tariffs)):
        root.fault("service", f"the tariff {name!r} is not in `tariffs`")
    return city


def _read_services(root: Table, tariffs: Mapping[str, Path]) -> Iterator[Service]:
    for row in root.tables("service", needed=False):
        source = row.table("source", needed=False)
        service = Service(
            kind=row.choice("kind", KINDS),
            title=read_title(row, needed=True),
            media=pick(row, "media", tuple(MEDIA)),
            tariff=row.text("tariff", ""),
            network=row.text("network", ""),
            url=source.text("url") if row.has("source") else "",
            says=source.text("says") if row.has("source") else "",
            assumed=row.text("assumed", ""),
        )
        source.close()
        row.close()
        _check_service(row, service, tariffs)
        yield service


def _check_service(row: Table, service: Service, tariffs: Mapping[str, Path]) -> None:
    if not service.media:
        row.fault("media", "none is named", "any of " + ", ".join(MEDIA))
    if not (service.url or service.assumed):
        row.fault(None, "has neither `source` nor `assumed`", "say where it is from")
    if service.url and not service.url.startswith(("https://", "http://")):
        row.fault("source", f"{service.url!r} is no address")
    if not service.network:
        return
    if not service.tariff:
        row.fault("network", "stands without `tariff`")
    elif service.tariff in tariffs:
        names = _networks_of(_document(tariffs[service.tariff]))
        if service.network not in names:
            hint = "one of " + ", ".join(names)
            row.fault("network", f"{service.tariff} has no network {service.network!r}", hint)


def _check_tariff(root: Table, city: City, name: str, tariffs: Mapping[str, Path]) -> None:
    if name not in tariffs:
        root.fault("tariffs", f"there is no tariff {name!r}", "`faregate tariff list` shows them")
        return
    data = _document(tariffs[name]).data
    if data.get("currency") != city.currency:
        root.fault("tariffs", f"{name} is in {data.get('currency')}, not {city.currency}")
    times = data.get("time")
    zone = times.get("zone") if isinstance(times, dict) else None
    if zone != city.zone.key:
        root.fault("tariffs", f"{name} is in the time zone {zone}, not {city.zone.key}")


def _document(path: Path) -> Document:
    """What a tariff file says; one that cannot be read says nothing here: `tariff check` tells."""
    return load_document(path, Findings())


def _networks_of(document: Document) -> list[str]:
    rows = document.data.get("fare_network")
    found = rows if isinstance(rows, list) else []
    return [str(row.get("name")) for row in found if isinstance(row, dict)] or [ALL_NETWORKS]
