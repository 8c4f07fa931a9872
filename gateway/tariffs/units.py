"""Amounts and factors as text to integers and back, without floats; currencies by ISO 4217.

Must not import the rest of the gateway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastpath.types import FACTOR_ONE_PPM

AMOUNT_MAX_MINOR = 100_000_000
"""What the engine takes as a fare: times the largest factors it still fits into 31 bits."""

_AMOUNT = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)
_FACTOR_DIGITS = 6
_FACTOR_MAX_PPM = 2 * FACTOR_ONE_PPM


class AmountError(ValueError):
    """A text is not an amount or a factor; the message says why."""


@dataclass(frozen=True, slots=True)
class Currency:
    """ISO 4217: letters, number, and how many digits the minor unit has."""

    code: str
    number: int
    exponent: int


CURRENCIES = {
    one.code: one
    for one in (
        Currency("BHD", 48, 3),
        Currency("CNY", 156, 2),
        Currency("EUR", 978, 2),
        Currency("GBP", 826, 2),
        Currency("HKD", 344, 2),
        Currency("JPY", 392, 0),
        Currency("KRW", 410, 0),
        Currency("KWD", 414, 3),
        Currency("PLN", 985, 2),
        Currency("SGD", 702, 2),
        Currency("USD", 840, 2),
    )
}
"""The currencies a tariff may name. Source: ISO 4217 list one."""

CURRENCY_BY_NUMBER = {one.number: one for one in CURRENCIES.values()}


def parse_amount(text: str, exponent: int) -> int:
    """Minor units of an amount such as "3.00"; more digits than the currency has are an error.

    Raises: AmountError.
    """
    whole, digits = _split(text)
    if len(digits) > exponent:
        raise AmountError(f"{text!r} has more than {exponent} digits after the point")
    minor = int(whole + digits.ljust(exponent, "0"))
    if minor > AMOUNT_MAX_MINOR:
        raise AmountError(f"{text!r} is too large")
    return minor


def parse_factor(text: str) -> int:
    """Parts per million of a factor such as "0.5".

    Raises: AmountError.
    """
    whole, digits = _split(text)
    ppm = int(whole + digits.ljust(_FACTOR_DIGITS, "0"))
    if ppm > _FACTOR_MAX_PPM:
        raise AmountError(f"{text!r} is more than 2")
    return ppm


def format_amount(minor: int, exponent: int) -> str:
    """An amount as text with all its digits: 500 -> "5.00"."""
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    if exponent == 0:
        return sign + digits
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


def format_factor(ppm: int) -> str:
    """A factor as short text: 500000 -> "0.5"."""
    text = format_amount(ppm, _FACTOR_DIGITS).rstrip("0")
    return text.rstrip(".")


def _split(text: str) -> tuple[str, str]:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise AmountError(f"{text!r} is not a plain decimal number")
    return match[1], match[2] or ""
