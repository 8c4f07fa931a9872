"""What a bank's entries do here, and refunds to a bank account.

    bank_credit     money for an account: one credit per entry, whatever the number of deliveries
    bank_return     the bank took such a credit back: an adjustment, into debt if need be
    payout_return   a refund of ours came back: credited again
    bank_debit      a refund of ours was booked; anything else is held for an operator
    payout_refused  the bank refused a refund: credited again (written by the relay)
    payout_again    a restored journal may lack the debit of a refund: taken again, if it does, into
                    debt if need be; what came back of it waits for that

Every operation's id is derived from the bank's name and its own reference and instant, so that it
happens once even if this registry is restored from yesterday. What the engine refuses is held, with
the reason; an operator decides, and the next try has an id of its own, since refusals are kept too.
The instant of an entry that has only a booking date is where that date begins first on earth: no
bank's day is ahead of us then. What is booked for a later day waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from adapters.contract import Capability, Command, Event, Money, Outcome, Status
from gateway.clock import derived_operation_id, format_operation_id
from gateway.control.frames import Reply
from gateway.db import Database
from gateway.delivery.codec import decode_command, decode_event
from gateway.delivery.commands import Commands, ask, find_done
from gateway.delivery.inbox import Stored, Verdict, store
from gateway.delivery.outbox import Letter, put
from gateway.delivery.sealed import CommandSealer
from gateway.delivery.tables import INBOX, OUTBOX
from gateway.errors import CommandError
from gateway.registry.notices import NewNotice, add_notice

TRIES_MAX = 20
DATE_LEADS_US = 14 * 3600 * 1_000_000
"""How long before midnight in UTC a date begins, where it begins first."""
_APPLIED = Verdict()
_PAYOUT_BACK = ("payout_refused", "payout_return")


@dataclass(frozen=True, slots=True)
class _Move:
    """One movement on an account, and what names it for ever."""

    account_id: int
    amount_minor: int
    """Above 0: credited. Below: taken back, also into debt."""
    currency: int
    at_us: int
    parts: tuple[str, ...]
    reference: str
    was_at_us: int
    """The instant in the ids of versions that took midnight in UTC for a booking date."""
    flow: str = ""
    """payout: what it takes back, or gives back, was the bank's or went there."""

    def operation_id(self, number: int) -> bytes:
        """Of one try after the other."""
        return derived_operation_id(self.at_us, *self.parts, str(number))

    def earlier_ids(self) -> Iterator[bytes]:
        """Under which an earlier version may have done it."""
        if self.was_at_us != self.at_us:
            for number in range(TRIES_MAX):
                yield derived_operation_id(self.was_at_us, *self.parts, str(number))


class BankEvents:
    """The handler of one bank's inbox."""

    def __init__(self, bank: str, commands: Commands, database: Database) -> None:
        self._bank = bank
        self._commands = commands
        self._database = database

    def perform(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
        """See the head of this file. decision: {account_id}, {tries} or {ignore: true}."""
        if decision.get("ignore"):
            return Verdict(Stored.APPLIED, "ignored by an operator")
        if event.kind == "bank_credit":
            account_id = decision.get("account_id") or event.payload["account_id"]
            return self._give(event, account_id, decision)
        if event.kind in ("payout_refused", "payout_return"):
            return self._give_back(event, decision)
        if event.kind == "bank_return":
            return self._take_back(event, decision)
        if event.kind == "payout_again":
            return self._take_out_again(event, decision)
        known = event.kind == "bank_debit" and self._payout(str(event.payload.get("reference")))
        return _APPLIED if known else Verdict(Stored.HELD, "money left our account unasked")

    def _take_out_again(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
        """The bank was told of it, so the money is gone, whatever the account has now."""
        payout = self._payout(event.subject)
        if payout is None or payout.money is None:
            return Verdict(Stored.HELD, "there is no such refund")
        if take_out(self._commands, self._bank, payout).ok:
            return _APPLIED
        at_us = int(payout.facts["at_us"])
        move = _Move(
            int(payout.facts["account_id"]),
            -payout.money.amount_minor,
            payout.money.currency,
            at_us,
            ("bank", self._bank, event.kind, payout.key),
            payout.key,
            at_us,
            "payout",
        )
        return self._move(move, decision)

    def record(self, connection: Connection, event: Event, verdict: Verdict) -> None:
        """The journal has it; nothing more here."""

    def on_outcome(self, connection: Connection, letter: Letter, outcome: Outcome) -> None:
        """A refund that the bank refused goes back to its account, through the inbox; the owner is
        told.
        """
        command = letter.command
        if outcome.status is not Status.REJECTED or command.money is None:
            return
        event = Event(
            message_id=f"refused:{command.key}",
            kind="payout_refused",
            subject=command.key,
            occurred_us=int(command.facts["at_us"]),
            aggregate=command.key,
            version=1,
            payload={
                "entry_ref": command.key,
                "account_id": command.facts["account_id"],
                "amount_minor": command.money.amount_minor,
                "currency": command.money.currency,
            },
        )
        store(connection, self._bank, event, command.facts["at_us"])
        account_id, reason = int(command.facts["account_id"]), str(outcome.refusal or "")
        told = payout_notice(
            command.key, account_id, command.money.amount_minor, reason, outcome.peer_time_us
        )
        add_notice(connection, told)

    def _give(self, event: Event, account_id: Any, decision: Mapping[str, Any]) -> Verdict:
        if not isinstance(account_id, int):
            return Verdict(Stored.HELD, "no account of ours is named")
        return self._move(self._movement(event, account_id, sign=1), decision)

    def _give_back(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
        """Of a refund: never more than it took, however often the bank says that it came back, and
        not before a restored journal has its debit.
        """
        payout = self._payout(event.subject)
        if payout is None or payout.money is None:
            return self._give(event, decision.get("account_id"), decision)
        waits = self._wait_for_debit(payout.key)
        if waits is not None:
            return waits
        if self._back_minor(event) > payout.money.amount_minor:
            return Verdict(Stored.HELD, "more than was paid out")
        account_id = decision.get("account_id") or payout.facts["account_id"]
        return self._give(event, account_id, decision)

    def _wait_for_debit(self, key: str) -> Verdict | None:
        """None = nothing is left to be taken out again of this refund."""
        query = select(INBOX.c.state, INBOX.c.decision).where(
            INBOX.c.source == self._bank, INBOX.c.message_id == again_id(key)
        )
        with self._database.reading() as connection:
            again = connection.execute(query).one_or_none()
        if again is None:
            return None
        if again.state in (Stored.STORED, Stored.PARKED):
            return Verdict(Stored.PARKED, "it is still to be taken out again")
        if again.state != Stored.APPLIED or json.loads(again.decision or "{}").get("ignore"):
            return Verdict(Stored.HELD, "it was not taken out again")
        return None

    def _back_minor(self, event: Event) -> int:
        """What came back of a credit or a refund so far, and with this event."""
        kinds = ("bank_return",) if event.kind == "bank_return" else _PAYOUT_BACK
        query = select(INBOX.c.event, INBOX.c.decision).where(
            INBOX.c.source == self._bank,
            INBOX.c.aggregate == event.aggregate,
            INBOX.c.state == str(Stored.APPLIED),
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        earlier = [
            decode_event(row.event)
            for row in rows
            if not json.loads(row.decision or "{}").get("ignore")
        ]
        total = sum(int(one.payload["amount_minor"]) for one in earlier if one.kind in kinds)
        return total + int(event.payload["amount_minor"])

    def _take_back(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
        with self._database.reading() as connection:
            original = connection.execute(
                select(INBOX.c.state, INBOX.c.event, INBOX.c.decision).where(
                    INBOX.c.source == self._bank, INBOX.c.message_id == event.subject
                )
            ).one_or_none()
        if original is None or original.state in (Stored.STORED, Stored.PARKED):
            return Verdict(Stored.PARKED, "the credit that it takes back has not come")
        if original.state != Stored.APPLIED:
            return Verdict(Stored.HELD, "the credit that it takes back was not given")
        given = json.loads(original.event)["payload"]
        decided = json.loads(original.decision or "{}")
        if decided.get("ignore"):
            return Verdict(Stored.HELD, "the credit that it takes back was ignored")
        if self._back_minor(event) > given["amount_minor"]:
            return Verdict(Stored.HELD, "more than was given")
        account_id = decided.get("account_id") or given["account_id"]
        return self._move(self._movement(event, account_id, sign=-1), decision)

    def _movement(self, event: Event, account_id: int, *, sign: int) -> _Move:
        payload = event.payload
        return _Move(
            account_id,
            sign * payload["amount_minor"],
            payload["currency"],
            event.occurred_us - (DATE_LEADS_US if "booked" in payload else 0),
            ("bank", self._bank, event.kind, event.message_id),
            str(payload["entry_ref"]),
            event.occurred_us,
            "" if event.kind == "bank_credit" else "payout",
        )

    def _move(self, move: _Move, decision: Mapping[str, Any]) -> Verdict:
        """One id after the other: those that were refused stay refused, one that was done, done.

        Each is asked about before it is sent: an answer may have been lost, and the version that
        an adjustment names is another one by now.
        """
        account = ask(self._commands, "account_show", {"account_id": move.account_id})
        if not account.ok:
            return Verdict(Stored.HELD, account.code)
        if account.result["currency"] != move.currency:
            return Verdict(Stored.HELD, "currency_mismatch")
        done = self._find_earlier(move)
        if done is not None:
            return _applied(done)
        left = int(decision.get("tries", 0))
        refused = ""
        for operation_id in map(move.operation_id, range(TRIES_MAX)):
            reply = find_done(self._commands, operation_id)
            if reply is None:
                reply = self._send(move, operation_id, account.result["version"])
            if reply.ok:
                return _applied(operation_id)
            refused = reply.code
            if refused == "bad_time":
                return Verdict(Stored.PARKED, "it is booked for a later day")
            if refused == "version_conflict":
                show = {"account_id": move.account_id}
                account = ask(self._commands, "account_show", show)
                continue
            if not left:
                break
            left -= 1
        return Verdict(Stored.HELD, refused)

    def _find_earlier(self, move: _Move) -> bytes | None:
        for operation_id in move.earlier_ids():
            reply = find_done(self._commands, operation_id)
            if reply is None or reply.ok:
                return operation_id if reply is not None else None
        return None

    def _send(self, move: _Move, operation_id: bytes, version: int) -> Reply:
        args: dict[str, Any] = {
            "account_id": move.account_id,
            "amount_minor": move.amount_minor,
            "reference": move.reference,
            "note": f"bank {self._bank}",
        }
        if move.flow:
            args["flow"] = move.flow
        if move.amount_minor > 0:
            return ask(self._commands, "credit", args, operation_id=operation_id)
        args["expected_version"] = version
        return ask(self._commands, "adjust", args, operation_id=operation_id)

    def _payout(self, key: str) -> Command | None:
        with self._database.reading() as connection:
            body = connection.scalar(
                select(OUTBOX.c.body).where(OUTBOX.c.key == key, OUTBOX.c.adapter == self._bank)
            )
        return decode_command(body, attempt=1) if body else None


def _applied(operation_id: bytes) -> Verdict:
    return Verdict(Stored.APPLIED, f"operation {format_operation_id(operation_id)}")


@dataclass(frozen=True, slots=True)
class Payout:
    """A refund to a bank account. operation_id: UUIDv7 of whoever asks; the same one, the same
    refund. destination, name: personal, and told to the bank alone.
    """

    operation_id: bytes
    account_id: int
    money: Money
    destination: str
    name: str = ""
    actor: str = ""
    idempotency_key: str = ""

    @property
    def key(self) -> str:
        """What it is called at the bank, and in `faregate adapter show`."""
        return f"funding:refund:{self.operation_id.hex()}"

    @property
    def at_us(self) -> int:
        """The instant in its id."""
        return int.from_bytes(self.operation_id[:6]) * 1_000


@dataclass(frozen=True, slots=True)
class PayoutDesk:
    """Places refunds at one bank. personal: names of facts that are, as the adapter says."""

    bank: str
    commands: Commands
    database: Database
    sealer: CommandSealer
    personal: frozenset[str] = frozenset({"name"})

    def place(self, payout: Payout, now_us: int) -> Reply:
        """Take a refund out of an account and give it to the bank's outbox; the debit's reply.

        May be repeated after any failure: both steps are named by the payout. A refused debit is a
        value, and nothing goes to the bank then. Raises: CommandError, Uncertain, DeliveryError.
        """
        show = {"account_id": payout.account_id}
        account = ask(self.commands, "account_show", show)
        if account.ok and account.result["currency"] != payout.money.currency:
            raise CommandError("currency_mismatch", "the account is in another currency")
        reply = self._debit(payout)
        if reply.ok:
            self._tell(payout, now_us)
        return reply

    def _tell(self, payout: Payout, now_us: int) -> None:
        """Sealed anew it is another text, and its owner may have changed: what is there stays."""
        there = (OUTBOX.c.adapter == self.bank) & (OUTBOX.c.key == payout.key)
        with self.database.reading() as connection:
            if connection.scalar(select(OUTBOX.c.id).where(there)) is not None:
                return
        command = self.sealer.seal(_order(payout), self.personal)
        with self.database.transaction() as connection:
            put(connection, self.bank, payout.key, command, now_us)

    def _debit(self, payout: Payout) -> Reply:
        said = {"actor": payout.actor, "idempotency_key": payout.idempotency_key[:64]}
        return take_out(self.commands, self.bank, _order(payout), said)


def take_out(
    commands: Commands, bank: str, order: Command, said: Mapping[str, str] | None = None
) -> Reply:
    """Take what an order to the bank pays out of its account, once. said: of who asks."""
    account_id, at_us = int(order.facts["account_id"]), int(order.facts["at_us"])
    operation_id = payout_debit_id(bank, order.key, at_us)
    done = find_done(commands, operation_id)
    if done is not None or order.money is None:
        return done or Reply(b"", False, "amount_invalid")
    debit: dict[str, Any] = {
        "account_id": account_id,
        "amount_minor": order.money.amount_minor,
        "currency": order.money.currency,
        "flow": "payout",
        "reference": order.key,
        "note": f"refund to bank {bank}",
    }
    debit |= {name: value for name, value in (said or {}).items() if value}
    return ask(commands, "debit", debit, operation_id=operation_id)


def take_out_later(connection: Connection, bank: str, order: Command, now_us: int) -> None:
    """Have the bank's inbox see to it that an order's amount was taken out; again is nothing."""
    event = Event(
        message_id=again_id(order.key),
        kind="payout_again",
        subject=order.key,
        occurred_us=int(order.facts["at_us"]),
        aggregate=order.key,
        version=0,
        payload={"entry_ref": order.key, "account_id": order.facts["account_id"]},
    )
    store(connection, bank, event, now_us)


def payout_notice(
    key: str, account_id: int, amount_minor: int, reason: str, now_us: int
) -> NewNotice:
    """Tells an owner that a payout did not take place. key: what it is called at the bank."""
    body = {"key": key, "amount_minor": amount_minor, "reason": reason}
    return NewNotice(f"payout_refused:{key}", account_id, "payout_refused", body, now_us)


def again_id(key: str) -> str:
    """The event by which what a payout took is taken out again, in its bank's inbox."""
    return f"again:{key}"


def payout_debit_id(bank: str, key: str, at_us: int) -> bytes:
    """The operation that takes a payout out of its account."""
    return derived_operation_id(at_us, "payout", bank, key)


def _order(payout: Payout) -> Command:
    facts = {"account_id": payout.account_id, "at_us": payout.at_us, "name": payout.name}
    return Command(payout.key, Capability.REFUND, payout.destination, payout.money, facts=facts)
