"""Settlements of operators and merchants: what was made of each service day, and its file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from gateway.errors import LedgerError
from gateway.ledger.chart import ChartAccount, parse_code
from gateway.ledger.settled import Asked, KeptSettlement, SettlementBook
from gateway.ledger.settlement import SettlementFile, file_name
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import InstantUs, SignedMinor, says
from gateway.wallet.reach import LedgerReach
from gateway.windows import Window

LINES_MAX = 200_000
"""A longer file is not made again while somebody waits: it is in the folder, or not to be had."""

Make = Callable[[date, str], SettlementFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTotals:
    """Of one currency. risk_minor: rides the operator bears itself."""

    currency: Annotated[int, says("ISO 4217 number")]
    lines: int
    earned_minor: SignedMinor
    given_back_minor: SignedMinor
    risk_minor: SignedMinor
    payable_minor: Annotated[SignedMinor, says("earned less given back less risk")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementShown:
    """What one ledger account earned on one service date, as a file of this number says it."""

    ledger_account: Annotated[str, says("operator:1, merchant:5001")]
    name: str
    service_date: Annotated[str, says("as 2026-11-28")]
    number: Annotated[int, says("0, or of a corrected file: it replaces those before", minimum=0)]
    sha256: Annotated[str, says("of the CSV, byte for byte")]
    totals: tuple[ControlTotals, ...]
    as_of_seq: Annotated[int, says("the newest journal record in it")]
    made_us: InstantUs


@dataclass(frozen=True, slots=True)
class SettlementsWanted:
    """Which part of the list. account: "" = all; dates: both inside, None = no bound."""

    account: str = ""
    first: date | None = None
    last: date | None = None


class Settled:
    """The services on settlements. Files are made by the worker (gateway/ledger/settling.py)."""

    def __init__(
        self,
        book: SettlementBook,
        reach: LedgerReach,
        folder: Path,
        make: Make,
        names: Mapping[str, str],
    ) -> None:
        self._book = book
        self._reach = reach
        self._folder = folder
        self._make = make
        self._names = names

    async def list(
        self, actor: Actor, wanted: SettlementsWanted, window: Window
    ) -> list[tuple[int, SettlementShown]]:
        """Settlements the actor may see with their places in the list, the newest first; one more
        than asked for when there are more. Raises: AuthError, DatabaseError.
        """
        actor.require(Scope.SETTLEMENTS_READ)

        def read() -> list[KeptSettlement]:
            codes = self._reach.narrow(actor, wanted.account)
            return self._book.list(Asked(codes, wanted.first, wanted.last), window)

        found = await asyncio.to_thread(read)
        return [(one.id, self._shown(one)) for one in found]

    async def get(
        self, actor: Actor, account: str, day: date, number: int | None
    ) -> SettlementShown:
        """One of them. Raises: LedgerError LEDGER_NOT_FOUND: not made yet, or not theirs."""
        return self._shown(await asyncio.to_thread(self._find, actor, account, day, number))

    async def file(
        self, actor: Actor, account: str, day: date, number: int | None
    ) -> tuple[str, str]:
        """The name and the text of its file.

        Raises: LedgerError LEDGER_NOT_FOUND; LEDGER_FILE_GONE: it was taken out of the folder, and
            the ledger has more by now.
        """
        return await asyncio.to_thread(self._read, actor, account, day, number)

    def _find(self, actor: Actor, account: str, day: date, number: int | None) -> KeptSettlement:
        actor.require(Scope.SETTLEMENTS_READ)
        if self._reach.sees(actor, account):
            found = self._book.find(account, day, number)
            if found is not None:
                return found
        raise LedgerError("LEDGER_NOT_FOUND", f"there is no settlement of {account} on {day}")

    def _read(self, actor: Actor, account: str, day: date, number: int | None) -> tuple[str, str]:
        kept = self._find(actor, account, day, number)
        name = file_name(kept.account, kept.service_date, kept.number)
        try:
            data = (self._folder / name).read_bytes()
        except OSError:
            data = b""
        if not _is_same(data, kept) and kept.lines <= LINES_MAX:
            data = self._make(day, kept.account).text.encode()
        if not _is_same(data, kept):
            raise LedgerError("LEDGER_FILE_GONE", f"{name} is not there any more")
        return name, data.decode()

    def _shown(self, kept: KeptSettlement) -> SettlementShown:
        kind, ref = parse_code(kept.account)
        return SettlementShown(
            ledger_account=kept.account,
            name=ChartAccount(0, kind, ref).name(self._names),
            service_date=kept.service_date.isoformat(),
            number=kept.number,
            sha256=kept.sha256,
            totals=tuple(ControlTotals(**one) for one in kept.totals),
            as_of_seq=kept.as_of_seq,
            made_us=kept.made_us,
        )


def _is_same(data: bytes, kept: KeptSettlement) -> bool:
    return hashlib.sha256(data).hexdigest() == kept.sha256
