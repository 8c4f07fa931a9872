"""Structured creditor references: which account a transfer is for.

`RFkk` and the account number, check digits mod 97: one wrong or swapped digit is found, so a
mistyped reference goes to an operator and never to a stranger. Source: ISO 11649.
"""

from __future__ import annotations

import re

_FOUND = re.compile(r"RF\s*[0-9](?:\s*[0-9]){2,18}", re.IGNORECASE)
ACCOUNT_MAX = 1 << 53


def build_reference(account_id: int) -> str:
    """What a rider writes into the transfer. Raises: ValueError: no account number."""
    if not 1 <= account_id <= ACCOUNT_MAX:
        raise ValueError(f"{account_id} is no account number")
    return f"RF{98 - _remainder(f'{account_id}RF00'):02d}{account_id}"


def find_account(*texts: str) -> int | None:
    """The one account that the texts name; None = none, or more than one."""
    accounts = {account for text in texts for account in _accounts(text)}
    return accounts.pop() if len(accounts) == 1 else None


def _accounts(text: str) -> list[int]:
    found = []
    for match in _FOUND.finditer(text):
        reference = "".join(match.group().split()).upper()
        digits = reference[4:]
        right = bool(digits) and _remainder(f"{digits}{reference[:4]}") == 1
        if right and digits[0] != "0" and int(digits) <= ACCOUNT_MAX:
            found.append(int(digits))
    return found


def _remainder(text: str) -> int:
    return int("".join(str(int(one, 36)) for one in text)) % 97
