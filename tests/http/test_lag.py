"""How far the ledger is behind a gateway that serves, as its /metrics tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastpath.types import Reason, TapKind
from gateway.config import Config
from gateway.journals import open_reader
from gateway.ledger.projector import Teller, build_projector
from gateway.observability.page import Page
from tests.http.town import Town
from tests.support.plane import Running

TAPS = 10


def projecting(town: Town, config: Config) -> tuple[Callable[[], None], Callable[[], None]]:
    """The ledger's process, by hand: (bring it up to the journal, end it)."""
    page, journal = Page.create(config.ledger_page_path), open_reader(config)
    projector, teller = build_projector(config, town.ledger, journal), Teller(page)
    projector.start()

    def catch_up() -> None:
        records = 1
        while records:
            records = projector.step()
            teller.tell(projector.mark, records, 0)

    def end() -> None:
        journal.close()
        page.close()

    return catch_up, end


async def lag(town: Town) -> tuple[float, float]:
    """Records and seconds."""
    text = (await town.anybody("GET", "/metrics")).body
    found = dict(line.split() for line in text.splitlines() if line.startswith("fare_ledger_lag"))
    return float(found["fare_ledger_lag_records"]), float(found["fare_ledger_lag_seconds"])


async def test_the_lag_is_what_taps_left_behind(town: Town, plane: Running, config: Config) -> None:
    tokens = [(await plane.rider())[1] for _ in range(TAPS)]
    gate = await plane.gate()
    catch_up, end = await asyncio.to_thread(projecting, town, config)
    await asyncio.to_thread(catch_up)
    assert await lag(town) == (0, 0)
    for token in tokens:
        assert Reason((await gate.tap(TapKind.FLAT, token, 11)).reason).accepted
    records, age_s = await lag(town)
    assert records == TAPS
    assert age_s > 0
    await asyncio.to_thread(catch_up)
    assert await lag(town) == (0, 0)
    await asyncio.to_thread(end)
