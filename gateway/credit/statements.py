"""Credit statements: what was drawn when a month closed, by when it has to be back, what came back.

Pure: no clock, no database. A month is year * 12 + month - 1, the one that begins when the
statement closes. Repayments pay the oldest statement first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from gateway.credit.policy import CreditPolicy

US_PER_S = 1_000_000


class Standing(StrEnum):
    """How a statement stands at an instant."""

    PAID = "paid"
    OPEN = "open"
    """Not paid, not due yet."""
    DUE = "due"
    """Past its due instant, inside the days of grace."""
    LATE = "late"
    """Past the days of grace: no new credit until it is paid."""
    LOST = "lost"
    """So late that a write-off is proposed."""
    WRITTEN_OFF = "written_off"


@dataclass(frozen=True, slots=True)
class CreditStatement:
    """One closed month. Instants are UTC microseconds.

    amount_minor: what is new in it: drawn at closing less what older statements still ask for.
    """

    month: int
    close_us: int
    due_us: int
    late_us: int
    lost_us: int
    amount_minor: int
    paid_minor: int = 0
    written_off_minor: int = 0

    @property
    def open_minor(self) -> int:
        """What it still asks for."""
        return self.amount_minor - self.paid_minor - self.written_off_minor

    def standing(self, now_us: int) -> Standing:
        """How it stands."""
        if self.open_minor <= 0:
            return Standing.WRITTEN_OFF if self.written_off_minor else Standing.PAID
        if now_us >= self.lost_us:
            return Standing.LOST
        if now_us >= self.late_us:
            return Standing.LATE
        return Standing.DUE if now_us >= self.due_us else Standing.OPEN


def close_us_of(policy: CreditPolicy, month: int) -> int:
    """Local midnight at which the statement of this month closes.

    Where clocks are changed at midnight the later of two midnights counts, and the first instant
    of the day when there is none.
    """
    return _midnight(policy, *divmod(month, 12))


def _midnight(policy: CreditPolicy, year: int, month0: int, add_days: int = 0) -> int:
    day = datetime(year, month0 + 1, policy.statement_day, tzinfo=UTC).date()
    local = datetime.combine(day + timedelta(days=add_days), time(0), policy.zone)
    return max(int(local.replace(fold=fold).timestamp()) for fold in (0, 1)) * US_PER_S


def months_closed(policy: CreditPolicy, after_us: int, until_us: int) -> Iterator[int]:
    """Months whose statements close in (after_us, until_us], oldest first."""
    local = datetime.fromtimestamp(after_us // US_PER_S, policy.zone)
    month = local.year * 12 + local.month - 1
    while close_us_of(policy, month) <= until_us:
        if close_us_of(policy, month) > after_us:
            yield month
        month += 1


def close_statement(
    policy: CreditPolicy, month: int, drawn_minor: int, older: Iterable[CreditStatement]
) -> CreditStatement:
    """The statement of a month. drawn_minor: debt of the main purse at closing, >= 0."""
    asked_minor = sum(max(one.open_minor, 0) for one in older)
    year, month0 = divmod(month, 12)
    days = policy.due_days
    return CreditStatement(
        month=month,
        close_us=close_us_of(policy, month),
        due_us=_midnight(policy, year, month0, days),
        late_us=_midnight(policy, year, month0, days + policy.grace_days),
        lost_us=_midnight(policy, year, month0, days + policy.write_off_days),
        amount_minor=max(drawn_minor - asked_minor, 0),
    )


def allocate(
    statements: Sequence[CreditStatement], repaid_minor: int
) -> tuple[list[CreditStatement], int]:
    """Give money that came in to the oldest open statements; also what is left over.

    Args: statements: oldest first. repaid_minor: >= 0.
    Invariant: sum of what is paid more, and the rest, is repaid_minor.
    """
    after: list[CreditStatement] = []
    for one in statements:
        part_minor = min(max(one.open_minor, 0), repaid_minor)
        repaid_minor -= part_minor
        after.append(replace(one, paid_minor=one.paid_minor + part_minor))
    return after, repaid_minor


def is_late(statements: Iterable[CreditStatement], now_us: int) -> bool:
    """Whether new credit has to wait."""
    late = (Standing.LATE, Standing.LOST)
    return any(one.standing(now_us) in late for one in statements)
