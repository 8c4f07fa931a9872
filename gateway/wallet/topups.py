"""Automatic top-ups: below a threshold, or every so often, value is put in from a named source.

Evaluated after the commit by a job that follows the ledger, never at the gate. A run is written
down before its credit is sent, under an operation id that follows from it: through any crash each
run puts value in once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, time, timedelta
from typing import Annotated, Literal, Protocol
from zoneinfo import ZoneInfo

from gateway.clock import US_PER_S, derived_operation_id, format_operation_id
from gateway.errors import ApiError, CommandError, RegistryError, Retry, Uncertain
from gateway.registry.actors import Actor
from gateway.registry.notices import NewNotice, NoticeStore
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, OperationId, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.eyes import Eyes
from gateway.wallet.inflows import Inflows, Wanted
from gateway.wallet.stores.rules import RuleStore, TopupRow

RULES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TopupRule:
    """One rule of an account."""

    rule_id: OperationId
    account_id: AccountId
    kind: Literal["threshold", "interval"]
    threshold_minor: SignedMinor
    amount_minor: Annotated[int, says("put in each time; 0 = up to the target, minor units")]
    target_minor: SignedMinor
    every_s: int
    daily_cap_minor: Annotated[int, says("most put in on a local day, minor units; 0 = any")]
    source: Annotated[str, says("where it comes from: reference of the credits")]
    state: Literal["active", "paused", "off"]
    runs: int
    next_us: InstantUs
    last_error: Annotated[str, says("why it is paused")]


@dataclass(frozen=True, slots=True)
class TopupOrder:
    """A rule that is wanted. amount_minor 0: up to target_minor."""

    kind: Literal["threshold", "interval"]
    source: str
    threshold_minor: int = 0
    amount_minor: int = 0
    target_minor: int = 0
    every_s: int = 0
    daily_cap_minor: int = 0


class Topups:
    """The services on top-up rules."""

    def __init__(
        self,
        commands: Commands,
        access: AccountAccess,
        store: RuleStore,
        clock: Callable[[], int],
        *,
        sources: Iterable[str],
        eyes: Eyes,
    ) -> None:
        self._commands = commands
        self._access = access
        self._store = store
        self._clock = clock
        self._sources = frozenset(sources)
        self._eyes = eyes

    async def add(
        self, actor: Actor, cause: Cause, account_id: int, order: TopupOrder
    ) -> TopupRule:
        """A new rule. Raises: ApprovalNeeded; ApiError API_INVALID, API_CONFLICT: too many."""
        await self._access.require_change(actor, account_id, Scope.CREDITS_WRITE)
        check_order(order, self._sources)
        await self._commands.read("account_show", account_id=account_id)
        rule_id = format_operation_id(cause.operation_id)
        if await asyncio.to_thread(self._store.find_topup, rule_id) is None:
            most_minor = max(order.amount_minor, order.target_minor, order.daily_cap_minor)
            await self._eyes.require_credit(
                actor, cause, account_id, most_minor, rule=asdict(order)
            )
        return await asyncio.to_thread(self._add, actor, cause, account_id, order)

    def _add(self, actor: Actor, cause: Cause, account_id: int, order: TopupOrder) -> TopupRule:
        rule_id = format_operation_id(cause.operation_id)
        if self._store.find_topup(rule_id) is None:
            live = [one for one in self._store.list_topups([account_id]) if one.state != "off"]
            if len(live) >= RULES_MAX:
                raise ApiError("API_CONFLICT", f"an account has at most {RULES_MAX} rules")
            now_us = self._clock()
            row = TopupRow(
                rule_id=rule_id,
                account_id=account_id,
                kind=order.kind,
                threshold_minor=order.threshold_minor,
                amount_minor=order.amount_minor,
                target_minor=order.target_minor,
                every_s=order.every_s,
                next_us=now_us + order.every_s * US_PER_S,
                daily_cap_minor=order.daily_cap_minor,
                source=order.source,
                state="active",
                created_us=now_us,
                tenant_id=actor.tenant_id,
                look_us=now_us if order.kind == "threshold" else 0,
            )
            self._store.add_topup(actor, row)
        return rule_of(self._get(account_id, rule_id))

    async def list_account(self, actor: Actor, account_id: int) -> list[TopupRule]:
        """Rules of an account, also those that are off."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_READ)
        found = await asyncio.to_thread(self._store.list_topups, [account_id])
        return [rule_of(row) for row in found]

    async def set_state(
        self, actor: Actor, account_id: int, rule_id: str, state: Literal["active", "off"]
    ) -> TopupRule:
        """Switch a rule off, or take it up again: a tenant its own, which goes by its ceiling."""
        await self._access.require(actor, account_id, Scope.CREDITS_WRITE)
        row = await asyncio.to_thread(self._get, account_id, rule_id)
        if not actor.may_touch(row.tenant_id):
            raise ApiError("API_NOT_FOUND", "the account has no such rule")
        await asyncio.to_thread(self._store.set_topup_state, actor, row, state, self._clock())
        return rule_of(await asyncio.to_thread(self._get, account_id, rule_id))

    def _get(self, account_id: int, rule_id: str) -> TopupRow:
        row = self._store.find_topup(rule_id)
        if row is None or row.account_id != account_id:
            raise ApiError("API_NOT_FOUND", "the account has no such rule")
        return row


class Standings(Protocol):
    """What the tenant of a rule is. Blocking."""

    def is_house(self, tenant_id: str) -> bool:
        """Raises: RegistryError: there is no such tenant."""

    def is_open(self, tenant_id: str) -> bool:
        """Raises: RegistryError: there is no such tenant."""


class TopupRunner:
    """Decides runs and carries them out. A rule goes by what its tenant may now."""

    def __init__(
        self,
        commands: Commands,
        store: RuleStore,
        notices: NoticeStore,
        *,
        inflows: Inflows,
        standings: Standings,
        clock: Callable[[], int],
        zone: str,
    ) -> None:
        self._commands = commands
        self._store = store
        self._notices = notices
        self._inflows = inflows
        self._standings = standings
        self._clock = clock
        self._zone = ZoneInfo(zone)
        self._position = 0

    async def run(self, touched: Iterable[int], position: int = 0) -> int:
        """Look at the accounts something happened on, up to a journal record, and at what is due.
        Returns runs made.
        """
        made, self._position = 0, position
        for row in await asyncio.to_thread(self._store.list_waiting, self._clock()):
            made += await self._carry_out(row) if row.due_minor else await self._decide(row)
        for row in await asyncio.to_thread(self._store.list_topups, touched):
            if row.state == "active" and row.kind == "threshold" and not row.due_minor:
                made += await self._decide(row)
        return made

    async def _decide(self, row: TopupRow) -> int:
        shown = await self._commands.read("account_show", account_id=row.account_id)
        spendable = shown["spendable_minor"]
        now_us = self._clock()
        day = datetime.fromtimestamp(now_us // US_PER_S, self._zone).date().toordinal()
        used = row.day_minor if row.day == day else 0
        amount = wanted_minor(row, spendable, used)
        if not amount:
            await self._put_off(row, now_us, is_capped=wanted_minor(row, spendable, 0) > 0)
            return 0
        run = {"runs": row.runs + 1, "due_minor": amount, "day": day, "day_minor": used + amount}
        run["look_us"] = 0
        if row.kind == "threshold":
            run["next_us"] = now_us
        if not await self._set(row, **run):
            return 0
        fresh = await asyncio.to_thread(self._store.find_topup, row.rule_id)
        return await self._carry_out(fresh) if fresh is not None else 0

    async def _put_off(self, row: TopupRow, now_us: int, *, is_capped: bool) -> None:
        """Nothing is put in now. is_capped: the day's cap is why, the next day has another."""
        later = {}
        if row.kind == "interval":
            later = {"next_us": _next(row, now_us)}
        elif is_capped or row.look_us:
            later = {"look_us": next_midnight_us(now_us, self._zone) if is_capped else 0}
        if later:
            await self._set(row, **later)

    async def _carry_out(self, row: TopupRow) -> int:
        """Put the value in; its id follows from the run."""
        op_id = derived_operation_id(row.next_us, "topup", row.rule_id, str(row.runs))
        cause = Cause(op_id, reference=row.source, note=f"top-up rule, run {row.runs}")
        try:
            await self._put_in(row, cause)
        except (CommandError, ApiError, RegistryError) as error:
            if error.retry is Retry.NEVER:
                await self._pause(row, error.code)
            return 0  # else tried again at the next look, under the same id
        except Uncertain:
            return 0
        done: dict[str, int] = {"due_minor": 0}
        now_us = self._clock()
        if row.kind == "interval" and row.next_us <= now_us:  # else it is made again, by a restore
            done["next_us"] = _next(row, now_us)
        await self._set(row, **done)
        return 1

    async def _put_in(self, row: TopupRow, cause: Cause) -> None:
        """One run. Raises: what the data plane says; ApiError; RegistryError: closed tenant."""
        is_house = await asyncio.to_thread(self._check_tenant, row.tenant_id)
        wanted = Wanted(
            tenant_id=row.tenant_id,
            is_house=is_house,
            source=f"rule:{row.rule_id}",
            account_id=row.account_id,
            amount_minor=row.due_minor,
        )
        counted = replace(cause, reference=str(row.runs))
        actor = Actor.system(f"rule:{row.rule_id}"[:40])
        async with self._inflows.entered(wanted, counted) as first:
            await self._commands.do(
                actor,
                replace(cause, operation_id=first.operation_id),
                "credit",
                account_id=row.account_id,
                amount_minor=row.due_minor,
            )

    def _check_tenant(self, tenant_id: str) -> bool:
        """Whether it is the house; "" is. Raises: RegistryError: it is closed."""
        if not tenant_id:
            return True
        if not self._standings.is_open(tenant_id):
            raise RegistryError("REGISTRY_CLOSED", f"{tenant_id} is closed")
        return self._standings.is_house(tenant_id)

    async def _pause(self, row: TopupRow, code: str) -> None:
        left = row.day_minor - row.due_minor
        await self._set(row, state="paused", due_minor=0, day_minor=left, last_error=code)
        body = {"rule_id": row.rule_id, "code": code}
        key = f"topup_failed:{row.rule_id}:{row.runs}"
        told = NewNotice(key, row.account_id, "topup_failed", body, self._clock(), self._position)
        await asyncio.to_thread(self._notices.add, told)

    async def _set(self, row: TopupRow, **values: object) -> bool:
        return await asyncio.to_thread(self._store.change_topup, row.rule_id, row.runs, values)


def wanted_minor(row: TopupRow, spendable_minor: int, used_minor: int) -> int:
    """How much a rule puts in now; 0 = nothing. Never more than the day's cap leaves. Money that is
    held is not there.
    """
    if row.kind == "threshold" and spendable_minor >= row.threshold_minor:
        return 0
    wanted = row.amount_minor or max(row.target_minor - spendable_minor, 0)
    if row.daily_cap_minor and used_minor + wanted > row.daily_cap_minor:
        return 0
    return wanted


def next_midnight_us(now_us: int, zone: ZoneInfo) -> int:
    """The first instant of the next local day."""
    today = datetime.fromtimestamp(now_us // US_PER_S, zone).date()
    return int(datetime.combine(today + timedelta(days=1), time(), zone).timestamp()) * US_PER_S


def _next(row: TopupRow, now_us: int) -> int:
    """The next instant of an interval behind now; what was missed is not caught up."""
    every_us = row.every_s * US_PER_S
    return row.next_us + (max(now_us - row.next_us, 0) // every_us + 1) * every_us


def check_order(order: TopupOrder, sources: frozenset[str]) -> None:
    """Rules between the parts of a rule. Raises: ApiError API_INVALID."""
    wrong: list[tuple[str, str]] = []
    if order.source not in sources:
        wrong.append(("/source", "no adapter, and not in api.topup_sources: nobody would pay"))
    if bool(order.amount_minor) == bool(order.target_minor):
        wrong.append(("/amount_minor", "name an amount or a target, not both"))
    if order.kind == "interval" and not order.every_s:
        wrong.append(("/every_s", "an interval needs its length"))
    if order.kind == "threshold" and order.every_s:
        wrong.append(("/every_s", "belongs to an interval"))
    if order.target_minor and order.target_minor < order.threshold_minor:
        wrong.append(("/target_minor", "lies below the threshold"))
    if wrong:
        faults = [
            {"part": "body", "pointer": pointer, "rule": "rule", "detail": detail}
            for pointer, detail in wrong
        ]
        raise ApiError("API_INVALID", "the rule does not hold together", faults=faults)


def rule_of(row: TopupRow) -> TopupRule:
    """A row as it is shown."""
    return TopupRule(
        rule_id=row.rule_id,
        account_id=row.account_id,
        kind=row.kind,  # type: ignore[arg-type]
        threshold_minor=row.threshold_minor,
        amount_minor=row.amount_minor,
        target_minor=row.target_minor,
        every_s=row.every_s,
        daily_cap_minor=row.daily_cap_minor,
        source=row.source,
        state=row.state,  # type: ignore[arg-type]
        runs=row.runs,
        next_us=row.next_us,
        last_error=row.last_error,
    )
