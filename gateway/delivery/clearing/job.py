"""The worker's job of a clearing house: files of days that are over, files that came."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from adapters.errors import AdapterError
from adapters.transit.clearing.lines import Code
from adapters.transit.clearing.settings import ClearingSettings
from gateway.config import Config
from gateway.db import Database
from gateway.delivery.clearing.denials import Denials
from gateway.delivery.clearing.incoming import Incoming, Result
from gateway.delivery.clearing.outgoing import Outgoing
from gateway.delivery.clearing.source import LedgerSource, Source
from gateway.delivery.cursors import Stream, pull
from gateway.delivery.kinds import Configured
from gateway.jobs import Job, Tools
from gateway.observability.page import PageReader

log = logging.getLogger(__name__)
TURN_S = 20.0


def build_outgoing(config: Config, one: Configured, registry: Database) -> Outgoing:
    """What makes the files of a configured clearing house."""
    settings = settings_of(one)
    folder = config.gateway.data_dir / "clearing" / one.name
    return Outgoing(one.name, settings, registry, folder)


def build_source(config: Config, one: Configured, ledger: Database) -> LedgerSource:
    """Where a configured clearing house's fares come from."""
    settings = settings_of(one)
    return LedgerSource(
        ledger,
        settings.tariff_slots,
        currency=settings.currency,
        is_free_wanted=settings.taps_without_fare,
        pages=PageReader(config.page_path),
    )


def settings_of(one: Configured) -> ClearingSettings:
    """Its settings with their type."""
    settings: ClearingSettings = one.adapter.config
    return settings


class ClearingJob(Job):
    """Every little while: make what is due, fetch what came, deal with it."""

    def __init__(self, one: Configured, tools: Tools, source: Source | None = None) -> None:
        self.name = f"clearing-{one.name}"
        self._one = one
        self._tools = tools
        self._source = source
        self._outgoing = build_outgoing(tools.config, one, tools.registry)
        denials = Denials(one.name, self._outgoing.days, tools.commands, tools.registry)
        self._incoming = Incoming(one.name, settings_of(one), tools.registry, denials)
        self._codes: Counter[str] = Counter()
        self._made = 0

    async def run(self) -> None:
        source = self._source
        if source is None:
            source = await asyncio.to_thread(self._open_source)
        while True:
            made = await asyncio.to_thread(self._outgoing.make_due, source, self._tools.now_us())
            self._made += len(made)
            for one in made:
                log.info("clearing_file_made", extra={"file": one.name, "rows": one.rows})
            await self._fetch()
            self._note(await asyncio.to_thread(self._incoming.process, self._tools.now_us()))
            await asyncio.sleep(TURN_S)

    def _open_source(self) -> Source:
        return build_source(self._tools.config, self._one, self._tools.open_ledger())

    async def _fetch(self) -> None:
        """Whatever goes wrong at the peer, the next turn begins behind the last whole page."""
        now_us = self._tools.now_us()
        known: list[Result] = []

        def store(connection: Connection, records: Sequence[Mapping[str, Any]]) -> None:
            known.extend(self._incoming.store(connection, records, now_us))

        if not self._one.adapter.health().is_open:
            return
        try:
            stream = Stream(self._one.name, "files")
            await pull(self._one.adapter, self._tools.registry, stream, now_us, apply=store)
        except AdapterError as error:
            log.warning(
                "clearing_fetch_failed", extra={"adapter": self._one.name, "why": str(error)}
            )
            return
        self._note([one for one in known if one.code is not Code.ACCEPTED])

    def _note(self, results: Sequence[Result]) -> None:
        for one in results:
            self._codes[str(one.code)] += 1
            extra = {"file": one.name, "code": str(one.code), "detail": one.detail}
            log.log(
                logging.INFO if one.code is Code.ACCEPTED else logging.WARNING,
                "clearing_file",
                extra=extra,
            )

    def report(self) -> Mapping[str, Any]:
        return {"made": self._made, "codes": dict(self._codes)}
