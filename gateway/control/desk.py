"""The desk of the data plane: answers the control socket's requests with engine operations and
reads.

Money operations are records under the caller's operation id; a reply leaves after its record is
durable. What the desk reads may come from the open group, so reads wait for the commit too: nobody
is shown what could still be undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastpath.cells import describe_cell
from fastpath.commands import Command, OperationId
from fastpath.records import RecordView, view_head
from fastpath.types import MediumState, Op, Reason
from gateway import clock
from gateway.control import operations, views
from gateway.control.arguments import AMOUNT_MAX, Arguments, bad_argument, client_number
from gateway.control.frames import Reply, Request
from gateway.control.operations import Ceilings
from gateway.errors import CommandError, Retry
from gateway.limits.left import limits_left
from gateway.link.codes import DeviceMode
from gateway.link.devices import DeviceBook, DeviceEntry
from gateway.observability import page as slots

if TYPE_CHECKING:
    from fastpath.api import Engine, LimitBook
    from gateway.engine.commit import GroupCommit
    from gateway.link.server import LinkServer
    from gateway.link.service import LinkState

Read = Callable[[Arguments], Awaitable[dict[str, Any]]]
Setting = Callable[[Arguments], Awaitable["Done"]]

TRANSIENT = frozenset({Reason.BUSY, Reason.JOURNAL_FULL})
MODES = {mode.name.lower(): int(mode) for mode in DeviceMode}
HOLD_ENDS = (Op.HOLD_CAPTURE, Op.HOLD_RELEASE, Op.HOLD_EXPIRE)
DISK_REFUSES = slots.DiskState.NO_COMMANDS


def limits_as_dict(limits: LimitBook | None) -> dict[str, Any] | None:
    """Which limits of identity tiers are in force, None = nobody has any."""
    if limits is None:
        return None
    key = f"{limits.key:016x}"
    return {"id": limits.limits_id, "version": limits.version, "key": key}


@dataclass(frozen=True, slots=True)
class Done:
    """A change of the plane itself, which no record tells: what it is for the audit trail, and the
    answer.
    """

    action: str
    subject: str
    facts: Mapping[str, object]
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneCalls:
    """What the data plane does for the desk.

    on_hold: (account, hold, when it ends; 0 = it is over), from a durable record.
    on_change: (who, action, subject, facts), when it was done.
    """

    on_change: Callable[[str, str, str, Mapping[str, object]], None]
    load_tariff: Callable[[int, str], dict[str, Any]]
    load_limits: Callable[[str], dict[str, Any]]
    drain: Callable[[], None]
    on_hold: Callable[[int, int, int], None]


class Desk:
    """Carries out control requests. Thread: the loop's."""

    def __init__(
        self,
        engine: Engine,
        commit: GroupCommit,
        link: LinkServer,
        devices: DeviceBook,
        *,
        ceilings: Ceilings,
        plane: PlaneCalls,
    ) -> None:
        self._engine = engine
        self._commit = commit
        self._link = link
        self._state: LinkState = link.state
        self._devices = devices
        self._ceilings = ceilings
        self._plane = plane
        self._reads: dict[str, Read] = {
            "account_show": self._account_show,
            "cells_show": self._cells_show,
            "medium_show": self._medium_show,
            "operation_show": self._operation_show,
            "device_put": self._device_put,
            "tariff_list": self._tariff_list,
            "status": self._status,
        }
        self._settings: dict[str, Setting] = {
            "tariff_load": self._tariff_load,
            "limits_load": self._limits_load,
            "mode_set": self._mode_set,
            "drain": self._drain_now,
        }

    async def handle(self, request: Request, principal: str) -> Reply:
        """Raises: FareGatewayError for what was refused before it reached the engine."""
        if request.op in operations.OPERATIONS:
            return await self._operate(request, principal)
        if request.op in self._settings:
            return await self._set(request, principal)
        read = self._reads.get(request.op)
        if read is None:
            known = ", ".join(sorted([*operations.OPERATIONS, *self._reads, *self._settings]))
            raise bad_argument(f"unknown operation {request.op}; known: {known}")
        args = Arguments(request.args, request.client)
        result = await read(args)
        args.end()
        return Reply(request.id, True, result=result)

    async def _set(self, request: Request, principal: str) -> Reply:
        args = Arguments(request.args, request.client)
        done = await self._settings[request.op](args)
        self._plane.on_change(principal, done.action, done.subject, done.facts)
        args.end()
        return Reply(request.id, True, result=done.result)

    async def _operate(self, request: Request, principal: str) -> Reply:
        if self._link.page[slots.DISK_STATE] >= DISK_REFUSES:
            raise CommandError(
                "COMMAND_DISK", "the journal's disk is nearly full", retry=Retry.SAFE
            )
        command = operations.read_command(request.op, request.args, self._ceilings, principal)
        data, position, repeated = self._carry_out(request, command)
        await self._commit.committed()
        head = view_head(data, position)
        reason = Reason(head.reason)
        if reason.accepted and not repeated:
            self._tell(head, command)
        result = operations.result_of(head, repeated=repeated)
        return Reply(
            request.id,
            reason.accepted,
            code=reason.name.lower(),
            reason=int(reason),
            detail=""
            if reason.accepted
            else f"{request.op}: {reason.name.lower().replace('_', ' ')}",
            hint=operations.HINTS.get((request.op, reason), ""),
            retry=str(Retry.SAFE if reason in TRANSIENT else Retry.NEVER),
            result=result,
        )

    def _carry_out(self, request: Request, command: Command) -> tuple[bytes, int, bool]:
        operation = OperationId.of(client_number(request.client), request.id)

        def run() -> tuple[bytes, int, bool]:
            return self._engine.command(operation, command, clock.now_us())

        try:
            return run()
        except BufferError:
            if not self._commit.flush():
                raise CommandError(
                    "COMMAND_BUSY", "the open group is full", retry=Retry.SAFE
                ) from None
            return run()

    def _tell(self, head: RecordView, command: Command) -> None:
        """Carry a durable change of a medium's state to the validators, of a hold to its clock."""
        if head.op in (Op.HOLD_PLACE, Op.HOLD_EXTEND):
            self._plane.on_hold(head.account_id, command.key, command.expires_us)
        elif head.op in HOLD_ENDS and not head.period_paid_minor:  # nothing is left of it
            self._plane.on_hold(head.account_id, command.key, 0)
        if head.op == Op.MEDIUM_STATE:
            self._state.denylist.note(
                head.denylist_version, head.token, denied=self._is_denied(head.token)
            )
            self._link.page[slots.DENYLIST_VERSION] = self._state.denylist.version
            self._link.denylist_changed(head.denylist_version - 1)

    def _is_denied(self, token: bytes) -> bool:
        medium = self._engine.memory.medium(token)
        return medium is not None and medium[21] != MediumState.ACTIVE

    # --- reads and settings
    # -----------------------------------------------------------------------------------

    async def _account_show(self, args: Arguments) -> dict[str, Any]:
        account_id = args.integer("account_id", 1, AMOUNT_MAX)
        memory = self._engine.memory
        data = memory.account(account_id)
        cells = views.list_cells(memory, data) if data is not None else []
        await self._commit.committed()
        if data is None:
            raise CommandError("unknown_account", f"there is no account {account_id}")
        shown = views.account_as_dict(data)
        wallet = views.wallet_as_dict(shown, cells)
        book, now_us = self._engine.book.limits, clock.now_us()
        return shown | wallet | {"limits": limits_left(book, shown | wallet, now_us)}

    async def _cells_show(self, args: Arguments) -> dict[str, Any]:
        """What a re-rating begins with: the account as bytes, its cells as bytes and by name."""
        account_id = args.integer("account_id", 1, AMOUNT_MAX)
        memory = self._engine.memory
        data = memory.account(account_id)
        cells = views.list_cells(memory, data) if data is not None else []
        await self._commit.committed()
        if data is None:
            raise CommandError("unknown_account", f"there is no account {account_id}")
        shown = [describe_cell(image) for image in cells]
        version = views.account_as_dict(data)["version"]
        return {"version": version, "account": data, "images": cells, "cells": shown}

    async def _medium_show(self, args: Arguments) -> dict[str, Any]:
        data = self._engine.memory.medium(args.token())
        await self._commit.committed()
        if data is None:
            raise CommandError("unknown_medium", "no medium has this token")
        shown = views.medium_as_dict(data)
        account = self._engine.memory.account_at(shown.pop("account_slot"))
        shown["account_id"] = int.from_bytes(account[:8], "little") if account is not None else 0
        return shown

    async def _operation_show(self, args: Arguments) -> dict[str, Any]:
        text = args.text("id")
        owner = args.text("client", args.client)
        try:
            op_id = clock.parse_operation_id(text)
        except ValueError as error:
            raise bad_argument("id must be 32 hex digits") from error
        operation = OperationId.of(client_number(owner), op_id)
        data, position = self._engine.operation(operation)
        await self._commit.committed()
        if data is None:
            raise CommandError(
                "unknown_operation", f"no operation {text} is known: it had no effect"
            )
        return operations.result_of(view_head(data, position), repeated=True)

    async def _device_put(self, args: Arguments) -> dict[str, Any]:
        versions = args.integers("key_versions", 1, 2**32 - 1)
        entry = DeviceEntry(
            device_id=args.integer("device_id", 1, 2**64 - 1),
            tariff_slot=args.integer("tariff_slot", 0, 15, 1),
            stop_id=args.integer("stop_id", 0, 2**32 - 1, 0),
            key_versions=versions,
            active=bool(args.choice("state", {"revoked": 0, "active": 1}, "active")),
        )
        known = self._devices.find(entry.device_id)
        self._devices.put(entry)
        self._link.page[slots.DEVICES] = len(self._devices)
        if known is not None and known != entry:
            self._link.device_changed(entry)
        return {"device_id": entry.device_id, "active": entry.active}

    async def _tariff_load(self, args: Arguments) -> Done:
        slot, digest = args.integer("slot", 0, 15), args.text("digest")
        loaded = self._plane.load_tariff(slot, digest)
        return Done("tariff.load", f"slot:{slot}", loaded | {"digest": digest}, loaded)

    async def _tariff_list(self, _: Arguments) -> dict[str, Any]:
        rows = [
            {"slot": t.slot, "key": f"{t.key:016x}", "digest": t.digest.hex()}
            for t in self._state.tariffs.values()
        ]
        return {"tariffs": rows}

    async def _limits_load(self, args: Arguments) -> Done:
        """Other limits of identity tiers: what is decided after the answer is decided with them."""
        digest = args.text("digest")
        loaded = self._plane.load_limits(digest)
        await self._commit.committed()
        return Done("limits.load", "limits", loaded | {"digest": digest}, loaded)

    async def _status(self, _: Arguments) -> dict[str, Any]:
        memory = self._engine.memory
        return {
            "accounts": memory.account_count,
            "media": memory.medium_count,
            "sessions": self._link.sessions,
            "devices": len(self._devices),
            "denylist_version": self._state.denylist.version,
            "mode": self._state.mode.name.lower(),
            "position": self._link.page[slots.JOURNAL_POSITION],
            "durable_seq": self._link.page[slots.DURABLE_SEQ],
            "draining": self._link.draining,
            "limits": limits_as_dict(self._engine.book.limits),
        }

    async def _mode_set(self, args: Arguments) -> Done:
        mode = DeviceMode(args.choice("mode", MODES))
        device_id = args.integer("device_id", 0, 2**64 - 1, 0)
        if not device_id:
            self._state.mode = mode
            self._link.page[slots.SERVICE_MODE] = 0 if mode == DeviceMode.NORMAL else int(mode)
        told = {"told": self._link.push_mode(mode, device_id or None)}
        subject = f"device:{device_id}" if device_id else "devices"
        return Done("mode.set", subject, told | {"mode": mode.name.lower()}, told)

    async def _drain_now(self, _: Arguments) -> Done:
        self._plane.drain()
        return Done("plane.drain", "plane", {}, {"draining": True})
