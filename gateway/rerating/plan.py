"""From an account's records to the one command that puts its fares right."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastpath.cells import CellType, type_of
from fastpath.records import RecordView
from fastpath.types import Rule, TapKind
from gateway.errors import RerateError, Retry
from gateway.rerating import cut
from gateway.rerating.books import Books
from gateway.rerating.events import Claim, Event, PastTap, Story, read_story, tap_of_claim
from gateway.rerating.replay import Outcome, PricedTap, replay
from gateway.rerating.standing import standing_of

LINES_1_AND_2 = slice(64, 192)
KEY_AT = slice(8, 16)
NEVER_US = 1 << 62
US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as the data plane has it now: its four lines and all its cells."""

    account_id: int
    version: int
    account: bytes
    cells: list[bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a re-rating would do. amount_minor: to be charged, below 0: to be given back.

    from_us: where pricing again began. taps: everything priced again, in its turn.
    """

    account_id: int
    version: int
    amount_minor: int
    lines: bytes
    cells: list[bytes]
    from_us: int
    taps: list[PricedTap]
    open_entry: PastTap | None
    is_needed: bool
    claim: Claim | None = None

    @property
    def changed(self) -> list[PricedTap]:
        """Taps that cost something else than their record says."""
        return [one for one in self.taps if one.difference_minor]

    @property
    def digest(self) -> str:
        """Of all that would be sent."""
        parts = [str(self.amount_minor).encode(), self.lines, *self.cells]
        if self.claim is not None:
            parts.append(repr(self.claim).encode())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def arguments(self) -> dict[str, Any]:
        """Of the control command `rerate`."""
        found: dict[str, Any] = {
            "account_id": self.account_id,
            "amount_minor": self.amount_minor,
            "expected_version": self.version,
            "lines": [self.lines[:64], self.lines[64:]],
            "cells": self.cells,
            "from_us": self.from_us,
        }
        if self.claim is not None:
            found |= {
                "claim": self.claim.code,
                "claim_stop": self.claim.stop,
                "claim_at_us": self.claim.at_us,
            }
        return found


def make_plan(
    now: Standing,
    records: Sequence[RecordView],
    books: Books,
    *,
    cells_max: int,
    since_us: int | None = None,
    claim: Claim | None = None,
) -> Plan:
    """Price an account again from the earliest thing that is out of its turn.

    Args: cells_max: most cells of an account. since_us: begin here, if that is earlier.
    Raises: RerateError.
    """
    if cut.newest_version(records) != now.version:
        said = f"account {now.account_id} is at version {now.version}, its records are not"
        raise RerateError("RERATE_HISTORY_BEHIND", said, retry=Retry.SAFE)
    story = read_story(records)
    if claim is not None and any(claim.is_same(one) for one in story.claims):
        return _nothing(now)
    since_us = _earliest(story, since_us, claim)
    if since_us is None:
        return _nothing(now)
    base = cut.find_base(records, story, since_us)
    if claim is not None:
        base = replace(base, events=_with_claim(base.events, claim, len(records)))
    other = sum(not cut.is_fare_cell(one) for one in now.cells)
    outcome = replay(base, books, room=max(0, cells_max - other - len(base.cells)))
    if claim is not None:
        _check_claim(outcome)
    amount_minor = outcome.total_minor - cut.charged_behind(story, base.index)
    begin_us = min(one.order_us for one in base.events) if base.events else since_us
    return _plan_of(now, outcome, amount_minor, begin_us, claim)


def _earliest(story: Story, since_us: int | None, claim: Claim | None) -> int | None:
    found = [cut.find_since(story), since_us, claim.at_us if claim else None]
    return min((one for one in found if one is not None), default=None)


def _with_claim(events: list[Event], claim: Claim, index: int) -> list[Event]:
    """Raises: RerateError RERATE_NOTHING_INCOMPLETE: no tap is there that it could belong to."""
    made = tap_of_claim(claim, events)
    if made is None:
        said = "no journey was begun before, or ended after, the instant given"
        raise RerateError("RERATE_NOTHING_INCOMPLETE", said)
    return [*events, Event(index, claim.at_us, replace(made, is_new_claim=True))]


def _check_claim(outcome: Outcome) -> None:
    """Raises: RerateError RERATE_BAD_CLAIM: what was said completes no journey."""
    place = next(at for at, one in enumerate(outcome.taps) if one.tap.is_new_claim)
    said = outcome.taps[place]
    if said.tap.kind == TapKind.CHECK_OUT:
        completes = said.was_open and not said.made.rules & Rule.MISSING_CHECK_IN
    else:
        left = next(iter(outcome.taps[place + 1 :]), said)
        is_exit = left.tap.kind == TapKind.CHECK_OUT
        completes = is_exit and not left.made.rules & Rule.MISSING_CHECK_IN and not said.was_open
    if not completes:
        raise RerateError("RERATE_BAD_CLAIM", f"stop {said.tap.stop} completes no journey then")


def _nothing(now: Standing) -> Plan:
    lines = now.account[LINES_1_AND_2]
    cells = [one for one in now.cells if cut.is_fare_cell(one)]
    return Plan(now.account_id, now.version, 0, lines, cells, NEVER_US, [], None, is_needed=False)


def _plan_of(
    now: Standing, outcome: Outcome, amount_minor: int, begin_us: int, claim: Claim | None
) -> Plan:
    present = [one for one in now.cells if cut.is_fare_cell(one)]
    before = standing_of(now.account[LINES_1_AND_2], present)
    is_other = standing_of(outcome.lines, outcome.cells) != before
    return Plan(
        account_id=now.account_id,
        version=now.version,
        amount_minor=amount_minor,
        lines=outcome.lines,
        cells=_sendable(outcome.cells, present),
        from_us=begin_us,
        taps=outcome.taps,
        open_entry=outcome.open_entry,
        is_needed=bool(amount_minor) or is_other or claim is not None,
        claim=claim,
    )


def _sendable(cells: Sequence[bytes], present: Sequence[bytes]) -> list[bytes]:
    """Totals as they are to be, and the passes that are still held; concessions stay."""
    held = [one[KEY_AT] for one in present if type_of(one) == CellType.PASS]
    found = []
    for image in cells:
        kind = type_of(image)
        if kind == CellType.CONCESSION:
            continue
        if kind == CellType.PASS:
            if image[KEY_AT] not in held:
                continue
            held.remove(image[KEY_AT])
        found.append(image)
    return found


def say_why(plan: Plan) -> str:
    """Which taps changed price, for the record's note: as many as fit come first."""
    if plan.claim is not None:
        what = "began" if plan.claim.kind == TapKind.CHECK_IN else "ended"
        return f"journey {what} at stop {plan.claim.stop}, {_clock(plan.claim.at_us)}"
    changed = [
        f"{_clock(one.tap.at_us)} {one.tap.charged_minor}>{one.made.fare_minor}"
        for one in plan.changed
    ]
    return "; ".join(changed) or "totals"


def _clock(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // US_PER_S, UTC).strftime("%m-%dT%H:%MZ")
