"""What the riders' side has seen so far: answers, reasons, revenue, and how long answers took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fastpath.types import Op, Reason, TapKind

STEPS_US = (1, 128, 8192)
"""Three scales of as many steps: exact up to 8 ms, then to 0.1 ms up to 1 s, then to 8 ms."""
STEP_COUNT = 8192


def _find_starts() -> tuple[int, ...]:
    starts, at_us = [], 0
    for step_us in STEPS_US:
        starts.append(at_us)
        at_us += step_us * STEP_COUNT
    return (*starts, at_us)


_STARTS_US = _find_starts()
LONGEST_US = _STARTS_US[-1] - 1
"""68 s; longer ones count as that."""


class Latencies:
    """A histogram of durations."""

    __slots__ = ("count", "counts")

    def __init__(self) -> None:
        self.counts = [0] * (STEP_COUNT * len(STEPS_US))
        self.count = 0

    def note(self, us: int) -> None:
        """One more. Cost: a fraction of a microsecond."""
        self.counts[us if us < STEP_COUNT else _place(us)] += 1
        self.count += 1

    def quantile_us(self, parts_per_1000: int) -> int:
        """The duration that so many of a thousand do not exceed; 0 when there are none."""
        wanted = -(-self.count * parts_per_1000 // 1000)
        seen = 0
        for place, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return _end_us(place)
        return 0


def _place(us: int) -> int:
    us = min(us, LONGEST_US)
    scale = 1 if us < _STARTS_US[2] else 2
    return scale * STEP_COUNT + (us - _STARTS_US[scale]) // STEPS_US[scale]


def _end_us(place: int) -> int:
    """The longest duration that is counted here."""
    scale, step = divmod(place, STEP_COUNT)
    return _STARTS_US[scale] + (step + 1) * STEPS_US[scale] - 1


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
