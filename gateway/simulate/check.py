"""The independent check of a run: what the journal says against what riders were told.

Four questions, each answered without the code that made the journal:

- Is every decision what the reference engine decides on the same history?
- Is every balance of the running gateway what the journal's money fields add up to?
- Is every answer a validator got the record at the position it names?
- Does every acknowledged tap stand in the journal exactly once?

Must not import the compiled engine's decisions; of the journal it uses the record format only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastpath.records import RecordView
from fastpath.types import Op, Reason, TapKind
from gateway.simulate.session import AnswerRow, TapRow

FINDINGS_MAX = 20
REPORT_EVERY = 2048
Told = tuple[int, TapRow | None, AnswerRow]
"""(device, the tap it sent or None for a passage report, the answer): Crowd.log."""


class Replay(Protocol):
    """A second engine that lives through the same history."""

    def apply(self, record: RecordView) -> str:
        """Decide the record's tap or command again; says what differs, "" = nothing."""


@dataclass(slots=True)
class CheckResult:
    """What the check found. Everything but `taps` and the sizes should be 0."""

    taps: int = 0
    """Tap ids that were acknowledged and stand in the journal."""
    wrong: int = 0
    lost: int = 0
    """AnswerRows whose record is not in the journal."""
    doubled: int = 0
    """Tap ids with more than one record (a settlement is not a second one)."""
    records: int = 0
    answers: int = 0
    accounts: int = 0
    fare_minor: int = 0
    findings: list[str] = field(default_factory=list)
    """The first few, in words."""

    @property
    def ok(self) -> bool:
        """Nothing wrong, lost or doubled."""
        return not (self.wrong or self.lost or self.doubled)

    def note(self, finding: str) -> None:
        """Keep one finding's words."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)


def check_run(
    records: Iterable[RecordView],
    replay: Replay,
    *,
    told: Sequence[Told] = (),
    balances: Mapping[int, int] | None = None,
    stops: Mapping[int, int] | None = None,
    on_progress: Callable[[int], None] = lambda records: None,
) -> CheckResult:
    """Check a whole journal against what was seen from outside.

    Args: records: all of them, from the first. balances: account -> spendable in minor units, as
        the running gateway told it. stops: device -> its stop, for taps that carry none.
    """
    check = _Check(replay, told, stops or {})
    for record in records:
        check.take(record)
        if check.result.records % REPORT_EVERY == 0:
            on_progress(check.result.records)
    check.finish(balances or {})
    on_progress(check.result.records)
    return check.result


class _Check:
    def __init__(self, replay: Replay, told: Sequence[Told], stops: Mapping[int, int]) -> None:
        self.result = CheckResult(answers=len(told))
        self._replay = replay
        self._stops = stops
        self._told: dict[int, list[Told]] = defaultdict(list)
        for each in told:
            self._told[each[2].position].append(each)
        self._balances: dict[int, int] = {}
        self._seen: set[tuple[int, int, int]] = set()
        self._acknowledged: set[tuple[int, int, int]] = set()

    def take(self, record: RecordView) -> None:
        """One record, in the order of the journal."""
        result = self.result
        result.records += 1
        if difference := self._replay.apply(record):
            self._wrong(record, difference)
        self._recount(record)
        if record.op < Op.ACCOUNT_OPEN and record.op != Op.SETTLEMENT:
            self._count_identity(record)
        for device, sent, answer in self._told.pop(record.position, ()):
            if difference := self._compare(record, device, sent, answer):
                self._wrong(record, f"the validator was told otherwise: {difference}")
            elif record.op in TAP_OPS:
                self._acknowledged.add((record.id_a, record.id_b, record.id_c))

    def _wrong(self, record: RecordView, difference: str) -> None:
        self.result.wrong += 1
        self.result.note(
            f"record {record.seq} at {record.position} ({_op_name(record.op)}): {difference}"
        )

    def _recount(self, record: RecordView) -> None:
        if record.reason >= Reason.BUSY or not record.account_id:
            return
        self.result.fare_minor += record.fare_minor
        balance = self._balances.get(record.account_id, 0)
        balance += record.amount_minor - record.fare_minor
        self._balances[record.account_id] = balance
        if balance != record.balance_minor:
            self._wrong(record, f"balance {record.balance_minor}, the fields add up to {balance}")

    def _count_identity(self, record: RecordView) -> None:
        identity = record.id_a, record.id_b, record.id_c
        if identity in self._seen:
            self.result.doubled += 1
            self.result.note(f"record {record.seq}: tap {identity} stands there twice")
        self._seen.add(identity)

    def _compare(
        self, record: RecordView, device: int, sent: TapRow | None, answer: AnswerRow
    ) -> str:
        recorded = AnswerRow(
            record.id_b, record.id_c, record.verdict, record.reason, record.fare_minor,
            record.balance_minor, record.period_paid_minor, record.rules, record.other_stop,
            record.fare_ts_us, record.position, record.op,
        )  # fmt: skip
        if device != record.id_a or recorded != answer:
            return f"{answer} for device {device}, the journal has {recorded} for {record.id_a}"
        if sent is not None:
            stop = sent.stop or self._stops.get(device, 0)
            kept = record.flags >> 16 & 0xFF, record.token, record.stop, record.device_ts_us
            if (sent.kind, sent.token, stop, sent.device_ts_us) != kept:
                return "the record's facts are not those of the tap"
        return ""

    def finish(self, balances: Mapping[int, int]) -> None:
        """After the last record: what nobody wrote down, and the balances."""
        result = self.result
        for position, told in self._told.items():
            for device, sent, answer in told:
                self._missing(position, device, sent, answer)
        for account, balance in balances.items():
            if self._balances.get(account, 0) != balance:
                result.wrong += 1
                mine = self._balances.get(account, 0)
                result.note(f"account {account} has {balance}, the journal adds up to {mine}")
        result.accounts = len(balances)
        result.taps = len(self._acknowledged)

    def _missing(self, position: int, device: int, sent: TapRow | None, answer: AnswerRow) -> None:
        if position == 0 and sent is not None and sent.kind == TapKind.INSPECT:
            return
        if position == 0:
            self.result.wrong += 1
            reason = Reason(answer.reason).name.lower()
            self.result.note(f"tap {answer.seq} of device {device} was not recorded: {reason}")
            return
        self.result.lost += 1
        self.result.note(f"tap {answer.seq} of device {device}: no record at {position}")


TAP_OPS = frozenset({int(Op.CHECK_IN), int(Op.CHECK_OUT), int(Op.FLAT), int(Op.SETTLEMENT)})


def _op_name(op: int) -> str:
    return Op(op).name.lower() if op in set(Op) else str(op)
