"""Distance bands of a [[fare]], and what follows the last one."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.tariffs.reader import Table
from gateway.tariffs.rounding import Rounding
from gateway.tariffs.source import Band, Beyond
from gateway.tariffs.source_layers import TapBands

DISTANCE_MAX_M = 2**31 - 1
BANDS_MAX = 1000


def read_bands(row: Table, exponent: int) -> tuple[tuple[Band, ...], Beyond | None]:
    """The bands with inclusive ends, and what is added behind them; None = no price there."""
    shorter = row.choice("band_end", ("included", "excluded"), "included") == "excluded"
    bands = list(_read_bands(row, exponent))
    beyond = None
    if row.has("beyond"):
        beyond = _read_beyond(row, exponent, bands)
    if shorter:
        bands = [Band(band.to_m - 1, band.fare_minor) for band in bands]
    return tuple(bands), beyond


def list_bands(bands: tuple[Band, ...], beyond: Beyond | None, tolerance_m: int) -> TapBands:
    """The form for distances that come with taps: a tolerance moves every end."""
    shift_m = max(tolerance_m - 1, 0)
    ends = tuple(band.to_m + shift_m for band in bands)
    fares = tuple(band.fare_minor for band in bands)
    if beyond is None:
        return TapBands(ends, fares)
    if beyond.per_m == 0:
        return TapBands(ends, fares, beyond_minor=beyond.fare_minor)
    return TapBands(ends, fares, beyond.per_m, beyond.add_minor)


def scaled_bands(bands: tuple[Band, ...], ppm: int, rounding: Rounding) -> tuple[Band, ...]:
    """Each price times a factor."""
    return tuple(Band(band.to_m, rounding.scale(band.fare_minor, ppm)) for band in bands)


def scaled_beyond(beyond: Beyond | None, ppm: int, rounding: Rounding) -> Beyond | None:
    """What is added, times a factor."""
    if beyond is None:
        return None
    add, fare = rounding.scale(beyond.add_minor, ppm), rounding.scale(beyond.fare_minor, ppm)
    return Beyond(beyond.per_m, add, fare)


def _read_bands(row: Table, exponent: int) -> Iterator[Band]:
    last = Band(0, 0)
    for table in row.tables("bands"):
        to_m = table.whole("to_m", low=1, high=DISTANCE_MAX_M)
        band = Band(to_m, table.amount("fare", exponent))
        table.close()
        if band.to_m <= last.to_m:
            table.fault("to_m", f"{band.to_m} does not rise", "list bands from the shortest up")
        if band.fare_minor < last.fare_minor:
            table.fault("fare", "is below the fare of the band before")
        last = band
        yield band


def _read_beyond(row: Table, exponent: int, bands: list[Band]) -> Beyond | None:
    """One rule for all that is farther, or a list of them: all but the last become bands."""
    if not row.is_list("beyond"):
        return _read_step(row.table("beyond"), exponent, bands)
    beyond = None
    for table in row.tables("beyond"):
        beyond = _read_step(table, exponent, bands)
    return beyond


def _read_step(table: Table, exponent: int, bands: list[Band]) -> Beyond | None:
    if table.has("fare"):
        beyond = Beyond(0, 0, table.amount("fare", exponent))
        table.close()
        return beyond
    per_m = table.whole("per_m", low=1, high=DISTANCE_MAX_M)
    add = table.amount("add", exponent)
    to_m = table.whole("to_m", 0, high=DISTANCE_MAX_M)
    table.close()
    if not to_m:
        return Beyond(per_m, add, 0)
    last = bands[-1] if bands else Band(0, 0)
    if to_m <= last.to_m or (to_m - last.to_m) // per_m > BANDS_MAX:
        table.fault("to_m", f"{to_m} does not follow {last.to_m} in at most {BANDS_MAX} steps")
        return None
    while bands[-1].to_m < to_m:
        bands.append(Band(min(bands[-1].to_m + per_m, to_m), bands[-1].fare_minor + add))
    return None
