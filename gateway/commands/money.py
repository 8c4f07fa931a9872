"""Shared by account and medium commands: sending operations, amounts as text, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.clock import format_operation_id, new_operation_id, parse_operation_id
from gateway.commands.common import UsageError, print_result

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.control.client import ControlClient

TOKEN_DIGITS = 32


def read_operation_id(text: str | None, named: str = "--operation-id") -> bytes:
    """The id given, or a new one. Raises: UsageError."""
    if text is None:
        return new_operation_id()
    try:
        return parse_operation_id(text)
    except ValueError as error:
        raise UsageError(
            detail=f"{named} {text}: write 32 hex digits, as they were printed"
        ) from error


def send(
    client: ControlClient, op: str, args: dict[str, Any], operation_id: str | None
) -> dict[str, Any]:
    """Carry out one operation; its id goes into the result. Raises: CommandError, Uncertain."""
    op_id = read_operation_id(operation_id)
    result = client.call(op, args, operation_id=op_id)
    return {"operation_id": format_operation_id(op_id)} | result


def print_operation(result: dict[str, Any], currency: int | None, *, as_json: bool) -> None:
    """A result with its amounts also as text."""
    print_result(with_amounts(result, currency), as_json=as_json)


def with_amounts(fields: dict[str, Any], currency: int | None) -> dict[str, Any]:
    """Every `…_minor` gets a neighbour in major units, as text with all its digits."""
    from gateway.tariffs.units import CURRENCY_BY_NUMBER, format_amount

    known = CURRENCY_BY_NUMBER.get(currency or 0)
    if known is None:
        return fields
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        shown[name] = value
        if name.endswith("_minor") and isinstance(value, int):
            shown[name.removesuffix("_minor")] = format_amount(value, known.exponent)
    return shown | {"currency": known.code}


def currency_of(client: ControlClient, account_id: int) -> int:
    """ISO number of an account's currency."""
    return int(client.call("account_show", {"account_id": account_id})["currency"])


def parse_minor(text: str, currency: int) -> int:
    """Minor units of "12.34" in a currency, exactly. Raises: UsageError."""
    from gateway.tariffs.units import CURRENCY_BY_NUMBER, AmountError, parse_amount

    known = CURRENCY_BY_NUMBER.get(currency)
    if known is None:
        raise UsageError(detail=f"currency {currency} is not known here")
    try:
        return parse_amount(text, known.exponent)
    except AmountError as error:
        raise UsageError(detail=f"amount in {known.code}: {error}") from error


def read_purpose(text: str) -> int:
    """Number of a purpose given by name or number. Raises: UsageError."""
    from fastpath.wallet import PURPOSES

    if text.isdigit():
        return int(text)
    if text not in PURPOSES:
        raise UsageError(detail=f"--purpose {text}: one of {', '.join(PURPOSES)}, or 0 to 31")
    return int(PURPOSES[text])


def read_token(settings: Config, token: str | None, card: str | None) -> bytes:
    """The token named, or that of a card's text (gateway/keys.py). Raises: UsageError."""
    from gateway.keys import card_token, read_secret

    if (token is None) == (card is None):
        raise UsageError(detail="name the medium by --token HEX or by --card TEXT")
    if card is not None:
        return card_token(read_secret(settings.security.master_key_file), card)
    try:
        data = bytes.fromhex(token or "")
    except ValueError:
        data = b""
    if len(token or "") != TOKEN_DIGITS or not any(data):
        raise UsageError(detail=f"--token: write {TOKEN_DIGITS} hex digits, not all zero")
    return data
