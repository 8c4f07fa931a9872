"""Holds the stream of records against the rules: sliding windows an account, bounded memory.

Pure: no clock, no database. Windows go by the instant a record was made at the server, so that an
offline upload of yesterday's rides is not taken for today's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fastpath.records import RecordView
from fastpath.types import OWN_MONEY, Item, Op, Reason, TapFlag
from fastpath.wallet import Facts
from gateway.risk.rules import RiskRule

ACCOUNTS_MAX = 200_000
"""So many accounts are watched at a time; the ones longest quiet are forgotten first."""
TAPS = frozenset({Op.CHECK_IN, Op.CHECK_OUT, Op.FLAT})
ENTRIES = frozenset({Op.CHECK_IN, Op.FLAT})
SPENDING = frozenset({Op.DEBIT, Op.HOLD_CAPTURE})


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rule acted. seq: the record that did it, which names the alarm for ever."""

    rule: RiskRule
    account_id: int
    seq: int
    ts_us: int
    count: int


@dataclass(slots=True)
class _Window:
    """What one rule has seen of one account: (instant, value), oldest first."""

    entries: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0
    is_over: bool = False

    def add(self, ts_us: int, value: int, span_us: int) -> None:
        self.entries.append((ts_us, value))
        self.total += value
        while self.entries[0][0] <= ts_us - span_us:
            self.total -= self.entries.popleft()[1]

    def places(self) -> int:
        return len({value for _, value in self.entries})


class Watch:
    """The state of all rules. Feed it every record in the journal's order."""

    def __init__(self, rules: Iterable[RiskRule], *, accounts_max: int = ACCOUNTS_MAX) -> None:
        self._rules = tuple(rules)
        self._accounts: OrderedDict[int, list[_Window]] = OrderedDict()
        self._accounts_max = accounts_max

    @property
    def span_us(self) -> int:
        """How far back the longest window looks: what to feed again after a restart."""
        return max((rule.window_us for rule in self._rules), default=0)

    def feed(self, record: RecordView, currency: int) -> list[Alarm]:
        """One record; the rules that act because of it, each once while it stays above."""
        if record.account_id == 0 or (record.flags & TapFlag.OFFLINE and record.op in TAPS):
            return []
        alarms: list[Alarm] = []
        for place, rule in enumerate(self._rules):
            value = VALUES[rule.kind](record)
            if value is None or rule.currency not in (0, currency):
                continue
            window = self._windows(record.account_id)[place]
            window.add(record.ts_us, value, rule.window_us)
            count = window.places() if rule.kind == "places" else window.total
            if count > rule.threshold and not window.is_over:
                alarm = Alarm(rule, record.account_id, record.seq, record.ts_us, count)
                alarms.append(alarm)
            window.is_over = count > rule.threshold
        return alarms

    def _windows(self, account_id: int) -> list[_Window]:
        found = self._accounts.get(account_id)
        if found is None:
            found = self._accounts[account_id] = [_Window() for _ in self._rules]
            if len(self._accounts) > self._accounts_max:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(account_id)
        return found


def _accepted(record: RecordView) -> bool:
    return record.reason < Reason.BUSY


def _refusal(record: RecordView) -> int | None:
    return 1 if record.op in TAPS and not _accepted(record) else None


def _spent(record: RecordView) -> int | None:
    if not _accepted(record):
        return None
    out_minor = max(record.fare_minor, 0)
    if record.op in SPENDING and not _is_own_money(record):
        out_minor += max(-record.amount_minor, 0)
    return out_minor or None


def _is_own_money(record: RecordView) -> bool:
    """Whether it went to a bank account, or to another one of the rider's."""
    facts = [Facts.unpack(bytes(one.image)) for one in record.items if one.type == Item.FACTS]
    return record.op == Op.DEBIT and any(one.flags & OWN_MONEY for one in facts)


def _tap(record: RecordView) -> int | None:
    return 1 if record.op in TAPS and _accepted(record) else None


def _place(record: RecordView) -> int | None:
    return record.stop if record.op in ENTRIES and _accepted(record) else None


VALUES: dict[str, Callable[[RecordView], int | None]] = {
    "refusals": _refusal,
    "spending": _spent,
    "taps": _tap,
    "places": _place,
}
"""What a record counts for a kind of rule; None = nothing."""
