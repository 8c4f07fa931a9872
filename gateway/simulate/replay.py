"""A journal lived through again by the reference engine, record by record.

The reference decides each tap and command from its own memory of the accounts and never looks at
the journal's after-images. Must not import the compiled engine.
"""

from __future__ import annotations

import struct
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

from fastpath.records import RecordView
from fastpath.reference import (
    Account,
    Cell,
    Command,
    Decision,
    Extras,
    Medium,
    Paid,
    Period,
    SpecBook,
    Tap,
    decide_command,
    decide_reversal,
    decide_tap,
    reversal_owner,
    wants_extras,
    wants_medium_period,
)
from fastpath.reference_limits import find_limits
from fastpath.types import (
    OWN_MONEY,
    EngineLimits,
    FactFlag,
    Item,
    Op,
    Reason,
    Rule,
    TapFlag,
    Verdict,
)
from fastpath.wallet import Facts, unpack_parts

CELLS_MAX = EngineLimits().cells_per_account_max
SUBSIDY_ID = 1
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
COMMAND_FIELDS = (
    *TAP_FIELDS[:4],
    ("balance_minor", "balance_minor"),
    ("amount_minor", "amount_minor"),
)
"""The other fields keep what was asked for (docs/journal.md)."""

NETWORK_SHIFT = 8
TAP_FLAGS = 0x7F
DISTANCE_KEPT = 1 << 7
"""Bit of a record's flags: the distance came with the tap and priced nothing."""
ACTS = struct.Struct("<16I")

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
        self._cells: dict[int, list[Cell]] = {}
        self._charges: dict[tuple[int, int, int], tuple[int, Paid]] = {}
        self._fares: dict[tuple[int, int, int], tuple[int, Paid]] = {}

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
        extras = self._find_extras(
            account, tap.now_us, owner=wants_extras(self._book, account, tap)
        )
        decision = decide_tap(self._book, medium, account, period, tap, extras=extras)
        self._keep(account, extras)
        if record.op != Op.SETTLEMENT:
            account_id = account.account_id if account is not None else 0
            charged = replace(decision, distance_m=record.distance_m)  # a reversal tells it again
            self._done[tap.device, tap.boot, tap.seq] = _Done(tap, charged, account_id)
        if account is not None and decision.reason < Reason.BUSY:
            account.version += 1
            self._note_fare(tap, decision, account.account_id)
        if record.account_id != (account.account_id if account is not None else 0):
            return f"account {record.account_id} is not the owner of the medium"
        return _difference(record, decision, TAP_FIELDS)

    def _find_extras(
        self, account: Account | None, now_us: int, *, owner: int | None = None
    ) -> Extras | None:
        """Copies of the account's cells; None when it has none and nothing would make one.

        owner: key of chain and counters, None = neither tariff nor limits want cells.
        """
        if account is None:
            return None
        cells = self._cells.get(account.account_id, [])
        has_limits = find_limits(self._book.limits, account, now_us) is not None
        if not cells and owner is None and not has_limits:
            return None
        return Extras(owner or 0, deepcopy(cells), max(0, CELLS_MAX - len(cells)))

    def _keep(self, account: Account | None, extras: Extras | None) -> None:
        """A refusal has changed nothing in them."""
        if account is not None and extras is not None:
            self._cells[account.account_id] = [one for one in extras.cells if one.type]

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
        owner = reversal_owner(self._book, done.tap, done.charged)
        extras = self._find_extras(account, record.ts_us, owner=owner)
        now = replace(done.tap, now_us=record.ts_us)
        decision = decide_reversal(
            self._book, account, period, now, done.charged, extras=extras, spent_us=done.tap.now_us
        )
        self._keep(account, extras)
        if account is not None and decision.reason < Reason.BUSY:
            account.version += 1
            self._fares.pop((done.tap.device, done.tap.boot, done.tap.seq), None)
        return _difference(record, decision, TAP_FIELDS)

    def _note_fare(self, tap: Tap, decision: Decision, account_id: int) -> None:
        """What the refund of a fare may name, until the tap is taken back."""
        if decision.fare_minor <= 0:
            return
        paid = Paid(
            decision.fare_minor,
            decision.subsidy_minor,
            decision.parts,
            tap.now_us,
            bool(decision.rules & Rule.COUNTED),
            tap.now_us,
        )
        self._fares[tap.device, tap.boot, tap.seq] = account_id, paid

    # --- commands ---------------------------------------------------------------------------------

    def _apply_command(self, record: RecordView) -> str:
        command = _command_of(record)
        account, medium, decision = self._find_target(command)
        if decision.reason == Reason.OK:
            decision = self._decide(account, medium, command)
        if decision.reason < Reason.BUSY and account is not None:
            account.version += 1
            self.accounts[account.account_id] = account
            if medium is not None:
                medium.account_slot = account.account_id
                self.media[command.token] = medium
            self._note_charge(record, decision, command.facts.flags)
        return _difference(record, decision, COMMAND_FIELDS)

    def _decide(self, account: Account | None, medium: Medium | None, command: Command) -> Decision:
        facts = command.facts
        names = facts.charge_client, facts.charge_high, facts.charge_low
        known = self._fares if facts.flags & FactFlag.FARE else self._charges
        owner, paid = known.get(names, (0, None))
        extras = self._find_extras(account, command.now_us)
        if extras is None:
            extras = Extras(0, [], CELLS_MAX)
        decision = decide_command(
            account,
            command.account_id,
            medium,
            command,
            extras=extras,
            paid=paid if owner == command.account_id else None,
            leaves=self.accounts.get(medium.account_slot) if medium is not None else None,
            limits=self._book.limits,
        )
        self._keep(account, extras)
        return decision

    def _note_charge(self, record: RecordView, decision: Decision, flags: int) -> None:
        """What a refund may name."""
        if record.op not in (Op.DEBIT, Op.HOLD_CAPTURE):
            return
        charged = -decision.amount_minor
        of_subsidy = record.op == Op.DEBIT and record.flags >> 16 & 0xFF == SUBSIDY_ID
        subsidy = charged if of_subsidy else decision.subsidy_minor
        made_us = (record.id_b >> 16) * 1000
        paid = Paid(
            charged,
            subsidy,
            decision.parts,
            max(record.ts_us, made_us),
            bool(decision.rules & Rule.COUNTED),
            record.ts_us,
            flags & OWN_MONEY if record.op == Op.DEBIT else 0,
        )
        self._charges[record.id_a, record.id_b, record.id_c] = record.account_id, paid

    def _find_target(self, command: Command) -> tuple[Account | None, Medium | None, Decision]:
        """What the command is about, or blanks for what it makes; a refusal when there is none."""
        account = self.accounts.get(command.account_id)
        of_medium = command.op in (Op.MEDIUM_LINK, Op.MEDIUM_STATE, Op.MEDIUM_MOVE)
        medium = self.media.get(command.token) if of_medium else None
        if command.op == Op.ACCOUNT_OPEN:
            refused = Reason.ALREADY_EXISTS if account is not None else Reason.OK
            account = account or Account(account_id=command.account_id)
        elif command.op in (Op.MEDIUM_STATE, Op.MEDIUM_MOVE) and medium is None:
            refused = Reason.UNKNOWN_MEDIUM
        else:
            refused = Reason.UNKNOWN_ACCOUNT if account is None else Reason.OK
        if of_medium and medium is None:
            medium = Medium(token=command.token)
        return account, medium, Decision(reason=refused, verdict=Verdict.DENY)


def _difference(record: RecordView, decision: Decision, fields: tuple[tuple[str, str], ...]) -> str:
    """ "" = equal."""
    found = []
    kept = _kept_of_tap(record) if fields is TAP_FIELDS else {}
    for theirs, mine in fields:
        recorded, decided = getattr(record, theirs), kept.get(theirs, getattr(decision, mine))
        if recorded != decided:
            found.append(f"{theirs} {recorded}, should be {int(decided)}")
    images = (item.image for item in record.items if item.type == Item.PARTS)
    parts = [part for image in images for part in unpack_parts(image)]
    if parts != list(decision.parts):
        found.append(f"parts {parts}, should be {list(decision.parts)}")
    acts = [
        act for item in record.items if item.type == Item.ACTS for act in ACTS.unpack(item.image)
    ]
    if [act for act in acts if act] != list(decision.acts):
        found.append(f"acts {acts}, should be {list(decision.acts)}")
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
        flags=record.flags & TAP_FLAGS,
        denylist_version=record.denylist_version,
        medium_kind=medium_kind,
        tariff_slot=record.flags >> 24,
        amount_minor=record.nominal_minor if record.rules & Rule.DEVICE_AMOUNT else -1,
        network_plus_1=(record.flags >> NETWORK_SHIFT & 0xFF) + 1,
        distance_m=_given_distance(record),
    )


def _kept_of_tap(record: RecordView) -> dict[str, int]:
    """What a record says that came with the tap and is no decision."""
    is_refused = record.reason >= Reason.BUSY
    kept = {}
    if is_refused or record.flags & DISTANCE_KEPT:
        kept["distance_m"] = record.distance_m
    if is_refused and record.rules & Rule.DEVICE_AMOUNT:
        kept |= {"nominal_minor": record.nominal_minor, "rules": record.rules}
    return kept


def _given_distance(record: RecordView) -> int:
    """What came with the tap; where a cell's own distance priced it, that is not kept."""
    is_refused = record.reason >= Reason.BUSY
    kept = is_refused or record.rules & Rule.GIVEN_DISTANCE or record.flags & DISTANCE_KEPT
    return record.distance_m if kept else 0


def _facts_of(record: RecordView) -> Facts:
    """What a record says beyond its head; one that says nothing has no purpose."""
    image = next((item.image for item in record.items if item.type == Item.FACTS), None)
    return Facts() if image is None else Facts.unpack(image)


def _command_of(record: RecordView) -> Command:
    return Command(
        facts=_facts_of(record),
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
        from_us=record.fare_ts_us,
        pass_id=record.other_stop,
        rides=record.period_paid_minor,
    )
