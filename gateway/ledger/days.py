"""Service dates of records, and currencies of tariffs: from the compiled tariffs that are kept.

A tap belongs to the service day of the tariff that priced it; a command, or a tap whose tariff is
not kept any more, to the local day of the settings' zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from fastpath.api import CompiledTariff
from gateway.tariffs.store import TariffStore

EPOCH = date(1970, 1, 1)
US_PER_S = 1_000_000
QUARTER_US = 900 * US_PER_S
"""Offsets of zones are multiples of this, so a quarter of an hour lies within one local day."""
CACHE_MAX = 100_000
LATEST_US = 253_402_300_800 * US_PER_S
"""The year 10000; a device's clock may say anything."""


class Calendar:
    """Answers for one data folder. Thread: one."""

    def __init__(self, tariffs: Path, zone: str, currency: int) -> None:
        self._store = TariffStore(tariffs)
        self._zone = ZoneInfo(zone)
        self._currency = currency
        self._tariffs: dict[int, CompiledTariff | None] = {}
        self._local: dict[int, int] = {}

    def currency_of(self, tariff_key: int) -> int:
        """Of what a tariff prices; the settings' one when it is not kept."""
        tariff = self._find(tariff_key)
        return tariff.currency if tariff is not None else self._currency

    def service_day(self, at_us: int, tariff_key: int) -> int:
        """Days since 1970-01-01 of the service date."""
        tariff = self._find(tariff_key) if tariff_key else None
        found = tariff.find_day(at_us) if tariff is not None else None
        return found[0] if found is not None else self.local_day(at_us)

    def local_day(self, at_us: int) -> int:
        """The local date of an instant; 0 for one that is no date."""
        if not 0 <= at_us < LATEST_US - 86_400 * US_PER_S:
            return 0
        quarter = at_us // QUARTER_US
        day = self._local.get(quarter)
        if day is None:
            if len(self._local) > CACHE_MAX:
                self._local.clear()
            local = datetime.fromtimestamp(at_us // US_PER_S, UTC).astimezone(self._zone)
            day = self._local[quarter] = day_number(local.date())
        return day

    def _find(self, tariff_key: int) -> CompiledTariff | None:
        if tariff_key not in self._tariffs:
            self._tariffs[tariff_key] = self._store.find_by_key(tariff_key)
        return self._tariffs[tariff_key]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def date_of(day: int) -> date:
    """Back from the number."""
    return EPOCH + timedelta(days=day)
