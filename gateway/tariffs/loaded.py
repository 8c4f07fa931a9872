"""A tariff ready for use: its source, its compiled form, and what is made of them on demand."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from fastpath.types import TariffSpec
from gateway.tariffs.compile import compile_source
from gateway.tariffs.load import load_tariff
from gateway.tariffs.load_examples import find_network
from gateway.tariffs.names import StationNames
from gateway.tariffs.prices import Prices
from gateway.tariffs.source import TariffSource


class LoadedTariff:
    """One tariff. Thread: any, once the properties have been read."""

    def __init__(self, path: Path, source: TariffSource) -> None:
        self.path = path
        self.source = source

    @cached_property
    def prices(self) -> Prices | None:
        """Prices with their rides; None for a tariff without a network."""
        return Prices(self.source.network) if self._has_one_main else None

    @cached_property
    def spec(self) -> TariffSpec:
        """The compiled form. Cost: about a second for 400 stations, the first time."""
        return compile_source(self.source, self.prices)

    @cached_property
    def names(self) -> StationNames:
        """Stations by name."""
        return StationNames(self.source.network.stations)

    @property
    def _has_one_main(self) -> bool:
        """Whether distances in the network make the prices, whoever rides and when."""
        network = self.source.network
        return bool(network.lines) and sum(group.is_main for group in network.groups) == 1

    @property
    def is_flat(self) -> bool:
        """Whether rides are boardings at one price."""
        return self.source.rules.flat_minor >= 0

    def taps_once(self, line: int = 0) -> bool:
        """Whether riders of a line tap at boarding only."""
        network = find_network(self.source.layers, line)
        return self.is_flat or (network is not None and network.taps_once)

    def stop_id(self, text: str) -> int:
        """A stop by id or name; 0 = none is named. Any number will do where no stops are declared.

        Raises: TariffError: TARIFF_STATION_UNKNOWN, TARIFF_STATION_AMBIGUOUS.
        """
        if not text:
            return 0
        if not self.source.network.stations and text.isdecimal():
            return int(text)
        return self.names.get(text).stop_id


def load(path: Path, *, calendars: tuple[Path, ...] = ()) -> LoadedTariff:
    """Load and check a tariff file.

    Raises: TariffError: with all findings.
    """
    return LoadedTariff(path, load_tariff(path, calendars=calendars))
