"""A journal lived through again by the reference engine, record by record.

The reference decides each tap and command from its own memory of the accounts and never looks at
the journal's after-images. Must not import the compiled engine.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fastpath._journal import RecordView
from fastpath.reference import (
    Account,
    Command,
    Decision,
    Medium,
    Period,
    SpecBook,
    Tap,
    decide_command,
    decide_reversal,
    decide_tap,
    wants_medium_period,
)
from fastpath.types import Item, Op, Reason, TapFlag, Verdict

ORIGINAL = struct.Struct("<QI")
"""Boot epoch and sequence at the beginning of an ORIGINAL item."""

TAP_FIELDS = (
    ("reason", "reason"),
    ("verdict", "verdict"),
    ("rules", "rules"),
    ("fare_minor", "fare_minor"),
    ("nominal_minor", "nominal_minor"),
    ("subsidy_minor", "subsidy_minor"),
    ("balance_minor", "balance_minor"),
    ("period_paid_minor", "period_paid_minor"),
    ("fare_ts_us", "ts_us"),
    ("tariff_key", "tariff_key"),
    ("distance_m", "distance_m"),
    ("other_stop", "other_stop"),
)
"""(record, Decision): what must be equal after a tap."""
COMMAND_FIELDS = TAP_FIELDS[:3] + TAP_FIELDS[6:7]
"""The other fields keep what was asked for (docs/journal.md)."""

NOT_STATE = frozenset({Reason.OUT_OF_SERVICE, Reason.BUSY, Reason.TOO_MANY_CELLS})
"""Refusals the journal does not hold the cause of; they have no effect."""


class _Done(NamedTuple):
    """What was decided about a tap: a reversal or settlement needs it."""

    tap: Tap
    charged: Decision
    account_id: int


class ReferenceReplay:
    """Accounts, media and totals as the reference engine has them after the records so far."""

    def __init__(self, book: SpecBook) -> None:
        self.accounts: dict[int, Account] = {}
        self.media: dict[bytes, Medium] = {}
        self._book = book
        self._periods: dict[tuple[int, bytes], Period] = {}
        self._done: dict[tuple[int, int, int], _Done] = {}

    def apply(self, record: RecordView) -> str:
        """Decide again; says what differs, "" = nothing."""
        if record.op >= Op.ACCOUNT_OPEN:
            return self._apply_command(record)
        if record.reason in NOT_STATE:
            return "a refusal that moves money" if record.fare_minor else ""
        if record.op == Op.REVERSAL:
            return self._apply_passage(record)
        if record.op == Op.SETTLEMENT:
            return self._apply_settlement(record)
        return self._apply_tap(record)

    # --- taps -----------------------------------------------------------------------------------

    def _apply_tap(self, record: RecordView) -> str:
        medium = self.media.get(record.token)
        account = self.accounts.get(medium.account_slot) if medium is not None else None
        tap = _tap_of(record, medium_kind=medium.kind if medium is not None else 0)
        period = self._find_period(account, tap)
        decision = decide_tap(self._book, medium, account, period, tap)
        if record.op != Op.SETTLEMENT:
            account_id = account.account_id if account is not None else 0
            self._done[tap.device, tap.boot, tap.seq] = _Done(tap, decision, account_id)
        if account is not None and decision.reason < Reason.BUSY:
            account.version += 1
        if record.account_id != (account.account_id if account is not None else 0):
            return f"account {record.account_id} is not the owner of the medium"
        return _difference(record, decision, TAP_FIELDS)

    def _find_period(self, account: Account | None, tap: Tap) -> Period | None:
        """The medium's own totals where the tariff wants them."""
        if account is None or not wants_medium_period(self._book, tap):
            return None
        return self._periods.setdefault((account.account_id, tap.token[:8]), Period())

    def _apply_settlement(self, record: RecordView) -> str:
        done = self._done.get((record.id_a, record.id_b, record.id_c))
        if done is None:
            return "a settlement of a tap that never was"
        if done.charged.reason >= Reason.BUSY:
            if not record.flags & TapFlag.DEVICE_OPENED:
                return "a settlement without a disagreement"
            return self._apply_tap(record)
        if record.flags & TapFlag.DEVICE_OPENED:
            return "a settlement without a disagreement"
        return self._reverse(record, done)

    def _apply_passage(self, record: RecordView) -> str:
        original = next((item for item in record.items if item.type == Item.ORIGINAL), None)
        if original is None:
            refused = record.reason == Reason.NOTHING_TO_REVERSE and record.fare_minor == 0
            return "" if refused else "a reversal that names no tap"
        boot, seq = ORIGINAL.unpack_from(original.image)
        done = self._done.get((record.id_a, boot, seq))
        if done is None:
            return "a reversal of a tap that never was"
        return self._reverse(record, done)

    def _reverse(self, record: RecordView, done: _Done) -> str:
        is_risk = done.charged.reason == Reason.OK_RISK
        account = self.accounts.get(done.account_id) if not is_risk else None
        period = self._find_period(account, done.tap)
        decision = decide_reversal(self._book, account, period, done.tap, done.charged)
        if account is not None and decision.reason < Reason.BUSY:
            account.version += 1
        return _difference(record, decision, TAP_FIELDS)

    # --- commands ---------------------------------------------------------------------------------

    def _apply_command(self, record: RecordView) -> str:
        command = _command_of(record)
        account, medium, decision = self._find_target(command)
        if decision.reason == Reason.OK:
            decision = decide_command(account, command.account_id, medium, command)
        moved = 0
        if decision.reason < Reason.BUSY and account is not None:
            account.version += 1
            self.accounts[account.account_id] = account
            if medium is not None:
                medium.account_slot = account.account_id
                self.media[command.token] = medium
            moved = _moved(command)
        if record.amount_minor != moved or record.fare_minor:
            return f"moved {record.amount_minor}, should be {moved}"
        return _difference(record, decision, COMMAND_FIELDS)

    def _find_target(self, command: Command) -> tuple[Account | None, Medium | None, Decision]:
        """What the command is about, or blanks for what it makes; a refusal when there is none."""
        account = self.accounts.get(command.account_id)
        of_medium = command.op in (Op.MEDIUM_LINK, Op.MEDIUM_STATE)
        medium = self.media.get(command.token) if of_medium else None
        if command.op == Op.ACCOUNT_OPEN:
            refused = Reason.ALREADY_EXISTS if account is not None else Reason.OK
            account = account or Account(account_id=command.account_id)
        elif command.op == Op.MEDIUM_STATE and medium is None:
            refused = Reason.UNKNOWN_MEDIUM
        else:
            refused = Reason.UNKNOWN_ACCOUNT if account is None else Reason.OK
        if of_medium and medium is None:
            medium = Medium(token=command.token)
        return account, medium, Decision(reason=refused, verdict=Verdict.DENY)


def _moved(command: Command) -> int:
    if command.op in (Op.CREDIT, Op.ADJUST):
        return command.amount_minor
    return -command.amount_minor if command.op == Op.DEBIT else 0


def _difference(record: RecordView, decision: Decision, fields: tuple[tuple[str, str], ...]) -> str:
    """ "" = equal."""
    found = []
    for theirs, mine in fields:
        recorded, decided = getattr(record, theirs), getattr(decision, mine)
        if recorded != decided:
            found.append(f"{theirs} {recorded}, should be {int(decided)}")
    return "; ".join(found)


def _tap_of(record: RecordView, *, medium_kind: int) -> Tap:
    return Tap(
        kind=record.flags >> 16 & 0xFF,
        stop=record.stop,
        device_ts_us=record.device_ts_us,
        now_us=record.ts_us,
        device=record.id_a,
        boot=record.id_b,
        seq=record.id_c,
        token=record.token,
        flags=record.flags & 0xFF,
        denylist_version=record.denylist_version,
        medium_kind=medium_kind,
        tariff_slot=record.flags >> 24,
    )


def _command_of(record: RecordView) -> Command:
    return Command(
        op=record.op,
        account_id=record.account_id,
        client=record.id_a,
        id_high=record.id_b,
        id_low=record.id_c,
        expected_version=record.stop,
        now_us=record.ts_us,
        amount_minor=record.nominal_minor,
        expires_us=record.device_ts_us,
        token=record.token,
        currency=record.distance_m & 0xFFFF,
        status_bits=record.flags & 0xFFFF,
        purse=record.flags >> 16 & 0xFF,
        rider_category=record.distance_m >> 16 & 0xFF,
        medium_kind=record.distance_m >> 24,
        medium_state=record.flags >> 24,
    )
