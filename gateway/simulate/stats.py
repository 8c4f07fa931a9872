"""What the riders' side has seen so far: answers, reasons, revenue, and how long answers took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fastpath.types import Op, Reason, TapKind

FINE_US = 8192
"""Below this, durations are kept to the microsecond; above, in steps of COARSE_US."""
COARSE_US = 128
COARSE_COUNT = 8192
"""Up to 1.06 s; longer ones count as that."""


class Latencies:
    """A histogram of durations."""

    __slots__ = ("count", "counts")

    def __init__(self) -> None:
        self.counts = [0] * (FINE_US + COARSE_COUNT)
        self.count = 0

    def note(self, us: int) -> None:
        """One more. Cost: a fraction of a microsecond."""
        if us >= FINE_US:
            us = min(FINE_US + (us - FINE_US) // COARSE_US, FINE_US + COARSE_COUNT - 1)
        self.counts[us] += 1
        self.count += 1

    def quantile_us(self, parts_per_1000: int) -> int:
        """The duration that so many of a thousand do not exceed; 0 when there are none."""
        wanted = -(-self.count * parts_per_1000 // 1000)
        seen = 0
        for at, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return at if at < FINE_US else FINE_US + (at - FINE_US + 1) * COARSE_US - 1
        return 0


@dataclass(slots=True)
class Stats:
    """Counters of one run. Answers count once a tap; settlements and reversals apart."""

    answers: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(Op, Reason) -> answers, without those that only repeat an earlier one."""
    revenue_minor: int = 0
    repeats: int = 0
    """Answers to a tap that was sent again although its answer had come."""
    top_ups: int = 0
    top_up_minor: int = 0
    resent: int = 0
    """Taps sent again after a lost connection or a `busy`."""
    stray: int = 0
    """Answers nobody waited for (any more)."""
    disconnects: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latency: Latencies = field(default_factory=Latencies)
    recent: list[int] = field(default_factory=list)
    """Latencies since `take_recent`, for the display: a short list is quicker than a histogram."""
    outage: Latencies = field(default_factory=Latencies)
    """Answers to taps that were under way, or sent, while connections were down."""

    def note_answer(self, op: int, reason: int, fare_minor: int) -> None:
        """A first answer, a reversal or a settlement."""
        self.answers[op, reason] += 1
        self.revenue_minor += fare_minor

    def note_latency(self, us: int, *, in_outage: bool) -> None:
        """How long one answer took at the client."""
        if in_outage:
            self.outage.note(us)
        else:
            self.latency.note(us)
            self.recent.append(us)

    @property
    def taps(self) -> int:
        """Taps with an answer: check-ins, check-outs and flat ones."""
        return sum(count for (op, _), count in self.answers.items() if op in TAP_OPS)

    def by_reason(self) -> dict[str, int]:
        """Taps by reason, accepted ones first, then the most frequent."""
        totals: Counter[int] = Counter()
        for (op, reason), count in self.answers.items():
            if op in TAP_OPS:
                totals[reason] += count
        order = sorted(totals.items(), key=lambda item: (item[0] >= Reason.BUSY, -item[1]))
        return {Reason(reason).name.lower(): count for reason, count in order}

    def count_of(self, op: Op | TapKind) -> int:
        """Answers of one kind; an inspection leaves no record, so it has no Op."""
        return sum(count for (kind, _), count in self.answers.items() if kind == op)

    def take_recent(self) -> tuple[int, int]:
        """p50 and p99 of the answers since the last call, microseconds; 0 when there were none."""
        recent, self.recent = sorted(self.recent), []
        if not recent:
            return 0, 0
        return recent[len(recent) // 2], recent[len(recent) * 99 // 100]


TAP_OPS = frozenset({int(Op.CHECK_IN), int(Op.CHECK_OUT), int(Op.FLAT)})
