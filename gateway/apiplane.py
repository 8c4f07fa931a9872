"""The composition root of the API: names the classes behind /v1 and puts them together once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.clock import now_us
from gateway.config import Config
from gateway.control.pipe import ControlPipe
from gateway.credit.job import build_desk
from gateway.delivery.kinds import list_banks
from gateway.delivery.outbox import Outbox
from gateway.http.api import Api
from gateway.http.endpoint import Services
from gateway.keys import load_control_secrets
from gateway.ledger.history import History
from gateway.ledger.settled import SettlementBook
from gateway.ledger.settlement import Settlement
from gateway.ledger.statements import Statements
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.notices import NoticeStore
from gateway.registry.refusals import Refusals
from gateway.registry.trail import TrailWriter
from gateway.wallet.access import AccountAccess
from gateway.wallet.accounts import Accounts
from gateway.wallet.breaks import Breaks
from gateway.wallet.budgets import BudgetBook, Budgets
from gateway.wallet.commands import Commands
from gateway.wallet.events import Events
from gateway.wallet.eyes import Eyes
from gateway.wallet.fares import Fares
from gateway.wallet.freezes import Freezes
from gateway.wallet.holds import Holds
from gateway.wallet.inflows import Inflows
from gateway.wallet.late import LateCharges
from gateway.wallet.lending import Lending
from gateway.wallet.media import Media
from gateway.wallet.merge_runner import MergeRunner
from gateway.wallet.merges import Merges
from gateway.wallet.money import Money
from gateway.wallet.own import Ownerships
from gateway.wallet.passes import Passes
from gateway.wallet.past import PastOperations
from gateway.wallet.payouts import PayoutBook, Payouts
from gateway.wallet.peer_commands import PeerCommands
from gateway.wallet.purses import Purses
from gateway.wallet.reach import LedgerReach
from gateway.wallet.reports import Reports
from gateway.wallet.requests import RequestBook
from gateway.wallet.sealing import Sealer
from gateway.wallet.settled import Settled
from gateway.wallet.steps import CreditSteps, PlacedSteps, SagaSteps
from gateway.wallet.stores.accounts import AccountStore
from gateway.wallet.stores.freezes import FreezeStore
from gateway.wallet.stores.inflows import InflowStore
from gateway.wallet.stores.requests import Requests
from gateway.wallet.stores.rules import RuleStore
from gateway.wallet.stores.sagas import SagaStore
from gateway.wallet.stores.webhooks import WebhookStore
from gateway.wallet.topups import Topups
from gateway.wallet.trail import Trail
from gateway.wallet.webhooks import Webhooks

if TYPE_CHECKING:
    from gateway.credit.desk import CreditDesk
    from gateway.db import Database
    from gateway.registry.access import Access

NOBODY = Actor(ActorKind.TENANT, "nobody")
"""Who calls an endpoint without login: holds nothing."""

LINE = "post_accounts_account_id_credit_line"
OF_LINE = (
    *("", "_score", "_close", "_plans"),
    *("_plans_plan_id_repayments", "_statements_month_write_off"),
)
"""Endpoints that wish for something of a credit line, by their names."""


def build_events(config: Config, access: Access, ledger: Database) -> Events:
    """The stream of events, from the ledger."""
    own = Ownerships(AccountStore(access.database), access.tenants)
    return Events(
        History(ledger), NoticeStore(access.database), own, time.monotonic, config.api.wait_max_s
    )


def build_api(config: Config, access: Access, ledger: Database) -> Api:
    """Everything behind the API of one process. It connects when first asked."""
    pipe = ControlPipe(config.control.socket, timeout_s=config.control.timeout_s)
    book = Requests(access.database, sealer=Sealer(load_control_secrets(config).registry_keys))
    store = AccountStore(access.database)
    accounts = AccountAccess(store, access.links, access.tenants)
    commands = Commands(pipe, PastOperations(History(ledger), pipe.client), accounts.may_read)

    refusals = Refusals(TrailWriter(lambda: access.database))

    async def close() -> None:
        await refusals.close()
        await access.sessions.settle()
        await book.close()
        await pipe.close()

    eyes = Eyes(access.approvals, commands)
    events = build_events(config, access, ledger)
    ceiling = config.api.credit_day_max_minor
    inflows = Inflows(InflowStore(access.database), now_us, day_max_minor=ceiling)
    rules = RuleStore(access.database)

    def statements() -> Statements:
        return Statements(ledger, names=config.ledger.names)

    desk = build_desk(config, access.database, now_us)
    sealer = Sealer(load_control_secrets(config).registry_keys)
    services = Services(
        [
            accounts,
            Accounts(commands, accounts, store, owned=access.links, eyes=eyes),
            Money(commands, accounts, eyes, inflows),
            Holds(commands, accounts, events, _late_charges(config, commands, ledger)),
            Fares(commands, accounts, eyes, History(ledger)),
            Purses(commands, accounts, eyes),
            Passes(commands, accounts, eyes),
            Media(
                commands,
                accounts,
                access.links,
                History(ledger),
                now_us,
                step_up_s=config.riders.step_up_s,
            ),
            Freezes(commands, accounts, FreezeStore(access.database), eyes, now_us),
            Topups(commands, accounts, rules, now_us, sources=topup_sources(config), eyes=eyes),
            Budgets(accounts, rules, BudgetBook(statements, now_us, config.ledger.zone), now_us),
            Lending(desk, accounts, eyes),
            build_merges(access, commands, accounts, sealer),
            _payouts(config, access, commands, accounts),
            Webhooks(
                WebhookStore(access.database),
                sealer,
                now_us,
                lambda: History(ledger).as_of().next_seq - 1,
                allow_private=config.api.webhook_private,
            ),
            events,
            Reports(
                accounts,
                events,
                statements,
                NoticeStore(access.database),
                config.ledger.zone,
            ),
            *_books(config, access, ledger),
            build_request_book(config, access, commands, book, desk),
            *access.services(),
        ]
    )
    return Api(access.authenticator, NOBODY, book, services, close, refusals)


def _books(config: Config, access: Access, ledger: Database) -> tuple[object, ...]:
    """The services on settlements, reconciliation, the audit and commands to peers."""
    names, zone, records = config.ledger.names, config.ledger.zone, access.database
    own = Ownerships(AccountStore(records), access.tenants)
    reach = LedgerReach(own, config.ledger.tenants)
    settlement = Settlement(ledger, records, zone=zone, names=names)
    book = SettlementBook(records)
    return (
        Settled(book, reach, config.settlements_dir, settlement.make, names),
        Breaks(records, reach, now_us),
        Trail(records, ledger),
        PeerCommands(records, now_us),
    )


def build_request_book(
    config: Config, access: Access, commands: Commands, book: Requests, desk: CreditDesk
) -> RequestBook:
    """What became of requests. A request goes on for a command's time-out behind its own."""
    sagas = SagaStore(access.database)
    patience_s = config.api.timeout_s + config.control.timeout_s
    return RequestBook(
        commands,
        book,
        {
            "post_merges": SagaSteps(sagas),
            "post_accounts_account_id_payouts": PlacedSteps(sagas),
            **dict.fromkeys((LINE + name for name in OF_LINE), CreditSteps(desk)),
        },
        now_us,
        patience_us=round(patience_s * 1_000_000),
    )


def _late_charges(config: Config, commands: Commands, ledger: Database) -> LateCharges:
    return LateCharges(
        commands,
        lambda: History(ledger),
        now_us,
        horizon_us=config.engine_limits().op_horizon_us,
        wait_max_s=config.api.wait_max_s,
    )


def topup_sources(config: Config) -> list[str]:
    """Where top-up rules may take value from."""
    return [*config.adapters, *config.api.topup_sources]


def build_merges(
    access: Access, commands: Commands, accounts: AccountAccess, sealer: Sealer
) -> Merges:
    """The services on merges."""
    runner = MergeRunner(commands, SagaStore(access.database), sealer, now_us)
    return Merges(runner, accounts)


def build_merging(config: Config, access: Access) -> tuple[Merges, Callable[[], Awaitable[None]]]:
    """The same for a process without the API, and how to end them. It is the API's client too: who
    carries on what it began, the worker, repeats nothing only under the same client.
    """
    pipe = ControlPipe(config.control.socket, timeout_s=config.control.timeout_s)
    reach = AccountAccess(AccountStore(access.database), access.links, access.tenants)
    sealer = Sealer(load_control_secrets(config).registry_keys)
    return build_merges(access, Commands(pipe), reach, sealer), pipe.close


def _payouts(
    config: Config, access: Access, commands: Commands, accounts: AccountAccess
) -> Payouts:
    book = PayoutBook(
        SagaStore(access.database),
        Sealer(load_control_secrets(config).registry_keys),
        Outbox(access.database),
        lambda: list_banks(config),
    )
    return Payouts(commands, accounts, Eyes(access.approvals, commands), book, now_us)


def build_payouts(config: Config, access: Access) -> tuple[Payouts, Callable[[], Awaitable[None]]]:
    """The services on payouts for a process without the API, and how to end them."""
    pipe = ControlPipe(config.control.socket, timeout_s=config.control.timeout_s)
    commands = Commands(pipe)
    reach = AccountAccess(AccountStore(access.database), access.links, access.tenants)
    return _payouts(config, access, commands, reach), pipe.close


def build_freezes(
    config: Config, access: Access, *, clock: Callable[[], int] = now_us
) -> tuple[Freezes, Callable[[], Awaitable[None]]]:
    """The services on freezes for a process without the API, and how to end them."""
    pipe = ControlPipe(config.control.socket, timeout_s=config.control.timeout_s)
    commands = Commands(pipe)
    reach = AccountAccess(AccountStore(access.database), access.links, access.tenants)
    eyes = Eyes(access.approvals, commands)
    return Freezes(commands, reach, FreezeStore(access.database), eyes, clock), pipe.close
