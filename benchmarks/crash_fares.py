"""What a boarding in the harness's town costs, from a table of its own, by the journal alone.

Written from docs/fares.md and crash_town.toml. Must import only the standard library and the
recount: a counter, a cap or a transfer that the gateway forgot must not be able to hide here.
Priced: bus and tram (transfers, daily cap, tiers by the trips of a month). Not the metro's rides;
no late, undone or re-rated taps either: there are none in the rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.crash_recount import OK_RISK, REFUSALS, Record

CHECK_OUT, FLAT = 2, 3
BUS, TRAM = 1, 2
"""Networks, in the order of the file."""
PRICES_MINOR = {BUS: 200, TRAM: 300}
TRANSFERS_MAX = {(BUS, TRAM): 1, (TRAM, BUS): 2}
TRANSFER_US = 3_600_000_000
TRAM_OFF_MINOR = 100
BUS_FIXED_MINOR = 50
TRAM_DAY_MINOR = 6_000
TIERS = ((1000, 50), (100, 75), (10, 90), (3, 95), (0, 100))
"""From so many trips of the month on, so many per cent."""
ZONE = timedelta(hours=8)
NETWORK_SHIFT = 8


@dataclass(slots=True)
class Rider:
    """One account: its chain of rides, the trams of a day, the trips of a month."""

    last_network: int = 0
    last_us: int = 0
    transfers: int = 0
    day: int = 0
    day_minor: int = 0
    month: int = 0
    trips: int = 0

    def board(self, network: int, at_us: int) -> int:
        """What it costs, in minor units; counts it."""
        local = datetime.fromtimestamp(at_us // 1_000_000, UTC) + ZONE
        day, month = local.toordinal(), local.year * 12 + local.month
        price = self._transfer(network, at_us, self._tier(PRICES_MINOR[network], month))
        if network == TRAM and day >= self.day:
            spent = self.day_minor if day == self.day else 0
            price = min(price, max(0, TRAM_DAY_MINOR - spent))
            self.day, self.day_minor = day, spent + price
        if month >= self.month:
            self.trips = self.trips + 1 if month == self.month else 1
            self.month = month
        return price

    def _tier(self, price: int, month: int) -> int:
        trips = self.trips if month == self.month else 0
        percent = next(percent for least, percent in TIERS if trips >= least)
        return (price * percent + 50) // 100

    def _transfer(self, network: int, at_us: int, price: int) -> int:
        most = TRANSFERS_MAX.get((self.last_network, network), 0)
        fits = self.transfers < most and 0 <= at_us - self.last_us <= TRANSFER_US
        self.transfers = self.transfers + 1 if fits else 0
        self.last_network, self.last_us = network, at_us
        if not fits:
            return price
        return max(0, price - TRAM_OFF_MINOR) if network == TRAM else BUS_FIXED_MINOR

    def leave_metro(self) -> None:
        """No transfer leads from there to bus or tram."""
        self.last_network = 0


class TownFares:
    """Every accepted boarding, priced again. Call it with each record, in order.

    wrong: what was charged otherwise; its owner empties it.
    """

    def __init__(self) -> None:
        self.riders: dict[int, Rider] = {}
        self.priced = 0
        self.wrong: list[str] = []

    def __call__(self, record: Record) -> None:
        if record.reason >= REFUSALS or record.reason == OK_RISK:
            return
        rider = self.riders.setdefault(record.account_id, Rider())
        if record.op == CHECK_OUT:
            rider.leave_metro()
        if record.op != FLAT:
            return
        network = record.flags >> NETWORK_SHIFT & 0xFF
        price = rider.board(network, record.fare_ts_us)
        self.priced += 1
        if record.fare_minor != price:
            said = f"{record.fare_minor} for a ride of {price}, network {network}: {rider}"
            self.wrong.append(f"record {record.seq}: {said}")
