"""A price times a factor, as a multiple of the tariff's unit; exact integers."""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.layers import RoundMode
from fastpath.types import FACTOR_ONE_PPM
from gateway.tariffs.reader import Table
from gateway.tariffs.units import Currency

MODES = {mode.name.lower(): mode for mode in RoundMode}


@dataclass(frozen=True, slots=True)
class Rounding:
    """`unit_minor`: prices are multiples of it."""

    unit_minor: int = 1
    mode: RoundMode = RoundMode.HALF_UP

    def scale(self, minor: int, ppm: int) -> int:
        """minor * ppm / 10^6, rounded. Args: minor >= 0."""
        unit = self.unit_minor * FACTOR_ONE_PPM
        whole, rest = divmod(minor * ppm, unit)
        up = {
            RoundMode.HALF_UP: 2 * rest >= unit,
            RoundMode.HALF_EVEN: 2 * rest > unit or (2 * rest == unit and whole % 2 == 1),
            RoundMode.DOWN: False,
            RoundMode.UP: rest > 0,
        }[self.mode]
        return (whole + up) * self.unit_minor


def read_rounding(root: Table, currency: Currency) -> Rounding:
    """What [amounts] says."""
    amounts = root.table("amounts", needed=False)
    unit = amounts.amount("round_to", currency.exponent, 1)
    return Rounding(max(unit, 1), MODES[amounts.choice("rounding", tuple(MODES), "half_up")])
