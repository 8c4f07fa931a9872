"""The wallet's jobs in the worker: freezes that are over, webhooks, rules and notices."""

from __future__ import annotations

import time
from collections.abc import Iterable

from gateway.control.pipe import ControlPipe
from gateway.delivery.funding import PayoutDesk
from gateway.delivery.kinds import load_adapters, pays_out
from gateway.delivery.sealed import CommandSealer
from gateway.jobs import Job, Tools
from gateway.keys import load_control_secrets
from gateway.ledger.history import History
from gateway.ledger.statements import Statements
from gateway.registry.links import AccountOwners
from gateway.registry.notices import NoticeStore
from gateway.registry.owner_keys import OwnerKeys
from gateway.registry.tenants import Tenants
from gateway.wallet.budgets import BudgetBook, BudgetWatch
from gateway.wallet.commands import Commands
from gateway.wallet.events import Events
from gateway.wallet.freeze_job import FreezeJob
from gateway.wallet.freezes import FreezeClock
from gateway.wallet.inflows import Inflows
from gateway.wallet.merge_runner import MergeRunner
from gateway.wallet.notice_job import NoticeBook, NoticeJob
from gateway.wallet.own import Ownerships
from gateway.wallet.payout_job import LeftPayoutsJob, PayoutJob, PayoutRunner
from gateway.wallet.rule_job import RuleJob
from gateway.wallet.saga_job import SagaJob
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.accounts import AccountStore
from gateway.wallet.stores.freezes import FreezeStore
from gateway.wallet.stores.inflows import InflowStore
from gateway.wallet.stores.purse_ends import PurseEndStore
from gateway.wallet.stores.requests import prune_requests
from gateway.wallet.stores.rules import RuleStore
from gateway.wallet.stores.sagas import SagaStore
from gateway.wallet.stores.webhooks import WebhookStore
from gateway.wallet.sweep_job import SweepJob
from gateway.wallet.topups import TopupRunner
from gateway.wallet.webhook_job import HookSettings, WebhookJob
from gateway.wallet.webhook_sender import WebhookSender

DAY_US = 86_400_000_000


def build_wallet_jobs(tools: Tools) -> Iterable[Job]:
    """All of them. Raises: ConfigError: a secret is missing or bad."""
    commands = Commands(
        ControlPipe(tools.config.control.socket, timeout_s=tools.config.control.timeout_s)
    )
    yield FreezeJob(FreezeClock(commands, FreezeStore(tools.registry), tools.now_us))
    yield _build_sagas(tools, commands)
    yield from _build_payouts(tools)
    yield _build_rules(tools, commands)
    yield _build_webhooks(tools)
    yield SweepJob(  # "sweeps" is a cursor of old, which passed over purses that are gone
        commands,
        PurseEndStore(tools.registry, "purse_ends"),
        lambda: History(tools.open_ledger()),
        tools.now_us,
    )
    yield _build_notices(tools)


def _build_notices(tools: Tools) -> NoticeJob:
    book = NoticeBook(
        NoticeStore(tools.registry),
        RuleStore(tools.registry),
        PurseEndStore(tools.registry, "purse_ends"),
    )
    return NoticeJob(
        book,
        AccountOwners(tools.registry),
        lambda: History(tools.open_ledger()),
        tools.now_us,
    )


def _build_payouts(tools: Tools) -> Iterable[Job]:
    keys, store = load_control_secrets(tools.config).registry_keys, SagaStore(tools.registry)
    banks = [one for one in load_adapters(tools.config).values() if pays_out(one)]
    for one in banks:
        seal = CommandSealer(keys, OwnerKeys(tools.registry, keys))
        personal = one.adapter.info.pii_fields
        desk = PayoutDesk(one.name, tools.commands, tools.registry, seal, personal)
        yield PayoutJob(
            PayoutRunner(desk, store, NoticeStore(tools.registry), Sealer(keys), tools.now_us),
            one.name,
        )
    yield LeftPayoutsJob(store, frozenset(one.name for one in banks))


def _build_rules(tools: Tools, commands: Commands) -> RuleJob:
    store, notices = RuleStore(tools.registry), NoticeStore(tools.registry)
    ledger = tools.config.ledger

    def open_budgets() -> BudgetWatch:
        database = tools.open_ledger()
        book = BudgetBook(
            lambda: Statements(database, names=ledger.names), tools.now_us, ledger.zone
        )
        return BudgetWatch(store, book, notices, tools.now_us)

    return RuleJob(
        store,
        lambda: History(tools.open_ledger()),
        TopupRunner(
            commands,
            store,
            notices,
            inflows=Inflows(
                InflowStore(tools.registry),
                tools.now_us,
                day_max_minor=tools.config.api.credit_day_max_minor,
            ),
            standings=Ownerships(AccountStore(tools.registry), Tenants(tools.registry)),
            clock=tools.now_us,
            zone=ledger.zone,
        ),
        open_budgets,
    )


def _build_sagas(tools: Tools, commands: Commands) -> SagaJob:
    sealer = Sealer(load_control_secrets(tools.config).registry_keys)
    runner = MergeRunner(commands, SagaStore(tools.registry), sealer, tools.now_us)
    keep_us = tools.config.api.keys_keep_days * DAY_US

    def prune() -> int:
        return prune_requests(tools.registry, tools.now_us() - keep_us)

    return SagaJob(runner, prune)


def _build_webhooks(tools: Tools) -> WebhookJob:
    config = tools.config.api
    own = Ownerships(AccountStore(tools.registry), Tenants(tools.registry))

    def open_events() -> Events:
        history, notices = History(tools.open_ledger()), NoticeStore(tools.registry)
        return Events(history, notices, own, time.monotonic, config.wait_max_s)

    return WebhookJob(
        WebhookStore(tools.registry),
        open_events,
        Sealer(load_control_secrets(tools.config).registry_keys),
        WebhookSender(allow_private=config.webhook_private, timeout_s=config.webhook_timeout_s),
        HookSettings(config.webhook_give_up_days * DAY_US),
        owners=own,
        clock=tools.now_us,
    )
