"""A tariff ready for use: its source, its compiled form, and what is made of them on demand."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from fastpath.types import TariffSpec
from gateway.tariffs.compile import compile_source
from gateway.tariffs.load import load_tariff
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
        return Prices(self.source.network) if self.source.network.stations else None

    @cached_property
    def spec(self) -> TariffSpec:
        """The compiled form. Cost: about a second for 400 stations, the first time."""
        return compile_source(self.source, self.prices)

    @cached_property
    def names(self) -> StationNames:
        """Stations by name."""
        return StationNames(self.source.network.stations)

    @property
    def is_flat(self) -> bool:
        """Whether rides are boardings at one price."""
        return self.source.rules.flat_minor >= 0


def load(path: Path, *, calendars: tuple[Path, ...] = ()) -> LoadedTariff:
    """Load and check a tariff file.

    Raises: TariffError: with all findings.
    """
    return LoadedTariff(path, load_tariff(path, calendars=calendars))
