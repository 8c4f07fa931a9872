"""Incomplete journeys completed later: a rider, or a service desk, says where one began or ended.

The tap that nobody made is put into history and the account is priced again; what the journey was
charged too much goes back. A journey is completed once: after that it is not incomplete any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from fastpath.types import TapKind
from gateway.clock import now_us
from gateway.errors import RerateError
from gateway.rerating.events import Claim, PastTap, read_story
from gateway.rerating.plan import Plan
from gateway.rerating.replay import PricedTap
from gateway.rerating.service import Rerater, Result

DAY_US = 86_400_000_000
US_PER_S = 1_000_000
USUAL_US = 30 * 60 * US_PER_S
"""How long a journey is taken to have lasted when nobody says."""


@dataclass(frozen=True, slots=True)
class CompletionRules:
    """Until when, and how often a month, riders complete journeys themselves.

    days: of a journey's tap, for desks too. per_month: by riders, 0 = never; desks are not counted.
    zone: IANA zone of the month.
    """

    days: int = 56
    per_month: int = 3
    zone: str = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A journey of which one end is missing.

    position: of the record of the tap there is. missing: what is to be said. earliest_us,
    latest_us: between which instants the other tap can have been made. is_open: nothing has been
    charged for it yet.
    """

    position: int
    missing: TapKind
    stop: int
    at_us: int
    charged_minor: int
    earliest_us: int
    latest_us: int
    is_open: bool = False

    @property
    def usual_us(self) -> int:
        """The instant that is taken when nobody says one."""
        if self.missing == TapKind.CHECK_OUT:
            return min(self.at_us + USUAL_US, self.latest_us)
        return max(self.at_us - USUAL_US, self.earliest_us)


class Completer:
    """Lists and completes incomplete journeys. Thread: one. Blocking."""

    def __init__(
        self, rerater: Rerater, rules: CompletionRules, now_us: Callable[[], int] = now_us
    ) -> None:
        self._rerater = rerater
        self._rules = rules
        self._now_us = now_us

    def list_incomplete(self, account_id: int) -> list[Incomplete]:
        """The journeys that may still be completed, oldest first. Raises: as Rerater.plan."""
        now = self._now_us()
        since_us = now - self._rules.days * DAY_US
        plan = self._rerater.plan(account_id, since_us=since_us)
        return [one for one in _find_incomplete(plan, now) if one.at_us >= since_us]

    def complete(
        self,
        account_id: int,
        position: int,
        stop: int,
        *,
        at_us: int | None = None,
        by_desk: bool = False,
    ) -> Result:
        """Complete the journey of which the tap at this position is known.

        Args: stop: where it began or ended. at_us: when; None = half an hour from the other end.
        Raises: RerateError RERATE_NOTHING_INCOMPLETE, RERATE_TOO_LATE, RERATE_TOO_OFTEN,
            RERATE_BAD_CLAIM; and as Rerater.run.
        """
        found = self._find(account_id, position)
        if not by_desk:
            self._check_count(account_id)
        instant_us = found.usual_us if at_us is None else at_us
        if not found.earliest_us <= instant_us <= found.latest_us:
            said = f"the other tap lies between {found.earliest_us} and {found.latest_us}"
            raise RerateError("RERATE_BAD_CLAIM", said)
        claim = Claim(found.missing, stop, instant_us, by_desk)
        if not found.is_open and self._rerater.plan(account_id, claim=claim).amount_minor > 0:
            said = "the journey would cost more than it was charged"
            raise RerateError("RERATE_BAD_CLAIM", said)
        return self._rerater.run(account_id, claim=claim)

    def _find(self, account_id: int, position: int) -> Incomplete:
        now = self._now_us()
        since_us = now - self._rules.days * DAY_US
        tap_us = next(
            (one.fare_ts_us for one in self._rerater.read(account_id) if one.position == position),
            None,
        )
        if tap_us is not None and tap_us < since_us:
            said = f"journeys of more than {self._rules.days} days ago stay as they are"
            raise RerateError("RERATE_TOO_LATE", said)
        found = [one for one in self.list_incomplete(account_id) if one.position == position]
        if not found:
            said = f"no incomplete journey has its tap at position {position}"
            raise RerateError("RERATE_NOTHING_INCOMPLETE", said)
        return found[0]

    def _check_count(self, account_id: int) -> None:
        """Raises: RerateError RERATE_TOO_OFTEN."""
        this_month = self._month_of(self._now_us())
        claims = read_story(self._rerater.read(account_id)).claims
        own = [one for one in claims if not one.by_desk]
        if sum(self._month_of(one.said_us) == this_month for one in own) >= self._rules.per_month:
            said = f"riders complete {self._rules.per_month} journeys a month themselves"
            raise RerateError("RERATE_TOO_OFTEN", said)

    def _month_of(self, instant_us: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(instant_us // US_PER_S, ZoneInfo(self._rules.zone))
        return local.year, local.month


def _find_incomplete(plan: Plan, now_us: int) -> Iterator[Incomplete]:
    for before, one in zip([None, *plan.taps], plan.taps, strict=False):
        if one.entry is not None and not one.entry.is_claim:
            yield _without_exit(one.entry, plan.taps, one.tap.at_us - 1, one.made.fare_minor)
        if one.is_missing_entry:
            begin_us = before.tap.at_us + 1 if before else one.tap.at_us - DAY_US
            yield _without_entry(one, begin_us)
    entry = plan.open_entry
    if entry is not None and not entry.is_claim:
        yield _without_exit(entry, plan.taps, now_us, 0, is_open=True)


def _without_exit(
    entry: PastTap,
    taps: Sequence[PricedTap],
    latest_us: int,
    charged_minor: int,
    *,
    is_open: bool = False,
) -> Incomplete:
    """The exit lies behind the entry, and before whatever was tapped next."""
    behind = [one.tap.at_us - 1 for one in taps if one.tap.at_us > entry.at_us]
    return Incomplete(
        position=entry.position,
        missing=TapKind.CHECK_OUT,
        stop=entry.stop,
        at_us=entry.at_us,
        charged_minor=charged_minor,
        earliest_us=entry.at_us + 1,
        latest_us=min([latest_us, *behind]),
        is_open=is_open,
    )


def _without_entry(left: PricedTap, begin_us: int) -> Incomplete:
    return Incomplete(
        position=left.tap.position,
        missing=TapKind.CHECK_IN,
        stop=left.tap.stop,
        at_us=left.tap.at_us,
        charged_minor=left.made.fare_minor,
        earliest_us=begin_us,
        latest_us=left.tap.at_us - 1,
    )
