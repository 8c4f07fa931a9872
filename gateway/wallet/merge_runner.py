"""Carries merges of accounts on, from wherever they stand.

A merge is a list of steps, each one command whose id follows from the merge, so whoever goes on
after a crash repeats nothing. A step that is refused for good turns the merge around: what was done
is undone, the last first, money as the refund of its way out, which no freeze and no limit keeps
from coming back. Money under way is never given up: what cannot be undone now is tried again, under
another id, since refusals are kept under theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.clock import format_operation_id, parse_operation_id
from gateway.control.client import CommandRefused
from gateway.errors import FareGatewayError, Retry
from gateway.registry.actors import Actor
from gateway.wallet.commands import Cause, Commands, is_accepted
from gateway.wallet.holds import API_CLIENT
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.sagas import SagaRow, SagaStore

log = logging.getLogger(__name__)
PAUSE_US = 5_000_000
KIND = "merge"
PAUSES_MAX = 64
"""So many pauses are between two tries of what is refused again and again."""
INSIDE = "already_in"
"""A medium whose rider is inside stays where it is until they leave."""

Step = Mapping[str, Any]
"""`do`: medium, open, out, in or close; `n` of the medium, `purse` of the old account, `key` of the
new one's."""


@dataclass(slots=True)
class _Work:
    """One merge while it is carried on. body: as it is written down."""

    row: SagaRow
    actor: Actor
    cause: Cause
    body: dict[str, Any]
    pause_us: int = PAUSE_US
    """Until it goes on, when it has to wait."""

    @property
    def steps(self) -> list[Step]:
        return list(self.body["steps"])

    @property
    def flow(self) -> dict[str, str]:
        """What is said of its money; nothing by versions that moved it by plain commands."""
        flow = str(self.body.get("flow", "transfer"))
        return {"flow": flow} if flow else {}


class MergeRunner:
    """Does the steps, and undoes them."""

    def __init__(
        self, commands: Commands, store: SagaStore, sealer: Sealer, clock: Callable[[], int]
    ) -> None:
        self.commands = commands
        self.store = store
        self.sealer = sealer
        self.clock = clock

    async def run_due(self) -> int:
        """Carry on what waits. Returns how many. One that fails keeps no other from its turn."""
        due = await asyncio.to_thread(self.store.list_due, self.clock(), KIND)
        for row in due:
            await self.advance(row)
        return len(due)

    async def advance(self, row: SagaRow) -> None:
        """As far as it goes now. What is not known or not sent is tried again later."""
        cause = Cause(
            parse_operation_id(row.saga_id), row.body.get("key", ""), f"merge {row.saga_id[:36]}"
        )
        work = _Work(row, Actor.system(row.actor), cause, whole_body(row.body))
        try:
            if "undo" not in work.body:
                await self._forward(work)
            if "undo" in work.body:
                await self._backward(work)
        except FareGatewayError as error:
            log.warning("merge_waits", extra={"merge": row.saga_id, "code": error.code})
            await self._save(
                work,
                next_us=self.clock() + work.pause_us,
                attempts=row.attempts + 1,
                last_error=error.code,
            )

    async def _forward(self, work: _Work) -> None:
        for number in range(work.row.step, len(work.steps)):
            try:
                await self._step(work, number)
            except CommandRefused as error:
                if error.retry is not Retry.NEVER:
                    raise
                work.body.update(undo=number, reason=error.code)
                await self._save(work, step=number, last_error=error.code)
                return
            await self._save(work, step=number + 1)
        await self._save(work, step=len(work.steps), state="done", last_error="")

    async def _step(self, work: _Work, number: int) -> None:
        step, body = work.steps[number], work.body
        match step["do"]:
            case "medium":
                token = self._token(work, step["n"])
                part = f"medium {step['n']}"
                await self._do(work, part, "medium_move", account_id=body["to"], token=token)
            case "open":
                about = {name: step[name] for name in ("merchant", "purposes", "priority")}
                more = about | {"expires_us": step["expires_us"]}
                part = f"open {step['key']}"
                await self._do(work, part, "purse_open", body["to"], key=step["key"], **more)
            case "out":
                await self._move(work, step, "debit", body["from"])
            case "in":
                await self._move(work, step, "credit", body["to"])
            case _:
                await self._do(work, "close", "close", body["from"])

    async def _move(self, work: _Work, step: Step, op: str, account_id: int) -> None:
        """The amount is written down once, before it is taken, so that the same one goes in."""
        purse = step["purse"]
        amount_minor = await self._amount(work, purse)
        if amount_minor:
            more = {"amount_minor": amount_minor, "currency": work.body["currency"]}
            more["purse"] = step.get("key", purse)
            part = _part(step["do"], purse)
            await self._do(work, part, op, account_id, **work.flow, **more)

    async def _amount(self, work: _Work, purse: int) -> int:
        name = f"amount {purse}"
        if name not in work.body:
            shown = await self.commands.read("account_show", account_id=work.body["from"])
            found = await asyncio.to_thread(
                self.store.note, work.row.saga_id, name, balance_of(shown, purse)
            )
            work.body[name] = found
        return int(work.body[name])

    # --- back again

    async def _backward(self, work: _Work) -> None:
        first = int(work.body["undo"])
        for number in reversed(range(first - int(work.body.get("undone", 0)))):
            await self._undo(work, number)
            work.body["undone"] = first - number
            await self._save(work, step=first)
        await self._save(work, step=first, state="failed", last_error=work.body["reason"])

    async def _undo(self, work: _Work, number: int) -> None:
        step, body = work.steps[number], work.body
        amount_minor = int(body.get(f"amount {step.get('purse', -1)}", 0))
        match step["do"]:
            case "medium":
                await self._bring_back(work, step["n"])
            case "open":
                await self._close_purse(work, step["key"])
            case "in" if amount_minor:
                part = _part("undo in", step["purse"])
                more = {"amount_minor": amount_minor, "purse": step["key"]}
                await self._reverse(work, part, "debit", body["to"], **work.flow, **more)
            case "out" if amount_minor and not await self._was_put_back(work):
                done = work.cause.part(_part("out", step["purse"]))
                charge = {"client": API_CLIENT, "id": format_operation_id(done)}
                part = _part("undo out", step["purse"])
                more = {"amount_minor": amount_minor, "charge": charge}
                await self._reverse(work, part, "refund", body["from"], **work.flow, **more)

    async def _was_put_back(self, work: _Work) -> bool:
        """Versions that moved money by plain commands put it back under an id of their own."""
        if work.flow:
            return False
        found = await self.commands.find_operation(work.cause.part("back"))
        return found is not None and is_accepted(found)

    async def _bring_back(self, work: _Work, number: int) -> None:
        """One that was blocked meanwhile opens no gate wherever it is."""
        token = self._token(work, number)
        try:
            part = f"undo medium {number}"
            await self._reverse(work, part, "medium_move", work.body["from"], token=token)
        except CommandRefused as error:
            if error.code == INSIDE or error.retry is not Retry.NEVER:
                raise

    async def _close_purse(self, work: _Work, key: int) -> None:
        """One that got money of its own meanwhile stays."""
        try:
            await self._do(work, f"undo open {key}", "purse_close", work.body["to"], key=key)
        except CommandRefused as error:
            if error.retry is not Retry.NEVER:
                raise

    async def _reverse(self, work: _Work, part: str, op: str, account_id: int, **args: Any) -> None:
        """One way back. Its tries are numbered: the next has another id once one was refused, and
        none is passed over, so that what was done under any of them is done once.
        """
        counted = f"tries {part}"
        tries = int(work.body.get(counted, 0))
        named = f"{part} try {tries}" if tries else part
        try:
            await self._do(work, named, op, account_id, **args)
        except CommandRefused as error:
            if error.retry is Retry.NEVER:
                work.body[counted] = tries + 1
                work.pause_us = PAUSE_US * min(1 << min(tries, 30), PAUSES_MAX)
            raise

    # --- one command, one row

    def _token(self, work: _Work, number: int) -> bytes:
        return self.sealer.open(work.row.saga_id, bytes.fromhex(work.body["tokens"][number]))

    async def _do(self, work: _Work, part: str, op: str, account_id: int, **args: Any) -> None:
        cause = work.cause
        step = Cause(cause.part(part), cause.key, cause.reference, cause.note)
        await self.commands.do(work.actor, step, op, account_id=account_id, **args)

    async def _save(self, work: _Work, step: int = -1, **more: Any) -> None:
        await asyncio.to_thread(
            lambda: self.store.change(
                work.row.saga_id,
                step=step if step >= 0 else None,
                body=work.body,
                now_us=self.clock(),
                **more,
            )
        )


def whole_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a merge is about, also one of a version that moved media and the main purse only: its
    commands are said as that version did, since what it sent may have had its effect.
    """
    if "steps" in body:
        return dict(body)
    media = [{"do": "medium", "n": number} for number in range(len(body["tokens"]))]
    over = [{"do": "out", "purse": 0}, {"do": "in", "purse": 0, "key": 0}]
    amount = {"amount 0": body["amount_minor"]} if "amount_minor" in body else {}
    about = {"currency": 0, "flow": "", "steps": [*media, *over, {"do": "close"}]}
    return {**body, **amount, **about}


def balance_of(shown: Mapping[str, Any], purse: int) -> int:
    """What a purse of an account holds: 0 stored value, 1 subsidy, else a further one."""
    if purse == 0:
        return int(shown["balance_minor"])
    if purse == 1:
        return int(shown["subsidy_minor"])
    return sum(one["balance_minor"] for one in shown["purses"] if one["key"] == purse)


def _part(name: str, purse: int) -> str:
    return f"{name} {purse}" if purse else name
