"""The worker's credit job put together; reads the ledger as the flows want it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from fastpath.records import RecordView, view_record
from gateway.config import Config
from gateway.control.arguments import client_number
from gateway.control.client import ControlClient
from gateway.credit.book import CreditBook
from gateway.credit.cycle import CreditCycle
from gateway.credit.desk import CreditDesk
from gateway.credit.flows import Flows
from gateway.credit.policy import load_policy
from gateway.db import Database
from gateway.jobs import Job, Tools
from gateway.ledger.history import EVENTS_MAX, History
from gateway.resources import list_credit_policies

CLIENT = "credit"
"""Whose operations these are in the journal: the same for the command line and the worker."""


class LedgerRecords:
    """An account's records from the ledger (gateway/credit/flows.py AccountRecords)."""

    def __init__(self, open_ledger: Callable[[], Database]) -> None:
        self._open_ledger = open_ledger
        self._history: History | None = None

    def list_from(self, account_id: int, seq: int) -> Iterable[RecordView]:
        """From this number on, page by page. Raises: DatabaseError: there is no ledger yet."""
        return self._pages(self._read(), account_id, seq - 1)

    def position(self) -> int:
        """How far the projection has come. Raises: DatabaseError: there is no ledger yet."""
        return self._read().as_of().position

    def _read(self) -> History:
        if self._history is None:
            self._history = History(self._open_ledger())
        return self._history

    def _pages(self, history: History, account_id: int, after: int) -> Iterator[RecordView]:
        while True:
            rows = history.events_after(after, EVENTS_MAX, account_id=account_id)
            yield from (view_record(row.raw, row.position) for row in rows)
            if len(rows) < EVENTS_MAX:
                return
            after = rows[-1].seq


def build_desk(config: Config, registry: Database, now_us: Callable[[], int]) -> CreditDesk:
    """The services on credit lines. Raises: ConfigError: a policy has faults."""
    paths = list_credit_policies(config.credit)
    policies = {name: load_policy(path) for name, path in paths.items()}
    client = ControlClient(config.control.socket, client=CLIENT, timeout_s=config.control.timeout_s)
    return CreditDesk(CreditBook(registry), policies, client, now_us)


def build_credit_jobs(tools: Tools) -> Iterable[Job]:
    """The credit cycle. Raises: ConfigError."""
    desk = build_desk(tools.config, tools.registry, tools.now_us)
    flows = Flows(LedgerRecords(tools.open_ledger), desk_client=client_number(CLIENT))
    return [CreditCycle(desk, flows, tools.now_us, every_s=tools.config.credit.every_s)]
