"""An account under limits on both engines: each step must come out alike, cells byte for byte."""

from __future__ import annotations

from array import array
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from fastpath import _probe
from fastpath import reference_limits as rules
from fastpath._limit_book import LimitBook
from fastpath.limits import LimitProfile, LimitSpec
from fastpath.reference_cells import Cell, Extras, Spent
from fastpath.reference_model import Account, first_told
from fastpath.types import Reason
from gateway.limits.compile import day_start_us
from gateway.tariffs.calendar import instant_us

CNY = 156
SHANGHAI = ZoneInfo("Asia/Shanghai")
EPOCH = date(1970, 1, 1)


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    """UTC microseconds of a local time."""
    return instant_us(datetime.fromisoformat(text).replace(tzinfo=zone))


def utc(text: str) -> int:
    return instant_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


def limits(
    *profiles: LimitProfile,
    first: date = date(2026, 1, 1),
    count: int = 800,
    zone: ZoneInfo = SHANGHAI,
    currency: int = CNY,
) -> LimitSpec:
    """A book of these profiles with a calendar of `count` days."""
    dates = [first + timedelta(days=i) for i in range(count + 1)]
    return LimitSpec(
        limits_id="test",
        version="1",
        currency=currency,
        first_day=(first - EPOCH).days,
        start_us=array("q", [day_start_us(one, zone) for one in dates]),
        month=array("I", [one.year * 12 + one.month - 1 for one in dates[:-1]]),
        profiles=tuple(sorted(profiles, key=lambda one: (one.tier, one.from_us))),
    )


@dataclass
class LimitedAccount:
    """As gateway.limits.examples.LimitedPurse, on both engines."""

    spec: LimitSpec | None
    tier: int = 1
    balance_minor: int = 0
    held_minor: int = 0
    currency: int = CNY
    cells: list[Cell] = field(default_factory=list)
    cells_max: int = 4

    def __post_init__(self) -> None:
        self.take(self.spec)

    def take(self, spec: LimitSpec | None) -> None:
        """Load other limits."""
        self.spec = spec
        self.book = LimitBook.build(spec) if spec else None
        self.version = rules.LimitVersion(self.book.key, spec) if self.book and spec else None

    @property
    def account(self) -> Account:
        return Account(
            tier=self.tier,
            currency=self.currency,
            balance_minor=self.balance_minor,
            held_minor=self.held_minor,
        )

    @property
    def used(self) -> Spent:
        found = rules.find_used(Extras(cells=self.cells))
        assert found is not None
        return found

    def pay(self, amount_minor: int, at_us: int) -> Reason:
        reason = self.may_spend(amount_minor, at_us)
        if reason == Reason.OK:
            self.count(amount_minor, at_us)
            self.balance_minor -= amount_minor
        return reason

    def may_spend(self, amount_minor: int, at_us: int) -> Reason:
        found = rules.check_spend(self.version, self.account, self.extras(), amount_minor, at_us)
        told = first_told(found) or Reason.OK
        assert self.compiled("check_spend", amount_minor, at_us)[0] == told
        return told

    def count(self, amount_minor: int, at_us: int) -> bool:
        """Count without asking: what a check-out does."""
        extras = self.extras()
        said, images = self.compiled("count_spend", amount_minor, at_us)
        counted = rules.count_spend(self.version, self.account, extras, amount_minor, at_us)
        assert bool(said) == counted
        self.keep(extras, images)
        return counted

    def credit(self, amount_minor: int, at_us: int) -> Reason:
        extras = self.extras()
        found = rules.check_balance_limit(self.version, self.account, extras, amount_minor, at_us)
        told = first_told(found) or Reason.OK
        assert self.compiled("check_balance_limit", amount_minor, at_us)[0] == told
        if told == Reason.OK:
            self.balance_minor += amount_minor
        return told

    def give_back(self, amount_minor: int, spent_us: int) -> None:
        extras = self.extras()
        _, images = self.compiled("uncount_spend", amount_minor, spent_us)
        rules.uncount_spend(self.version, extras, amount_minor, spent_us)
        self.keep(extras, images)
        self.balance_minor += amount_minor

    def lacks_cell(self, at_us: int) -> bool:
        lacks = rules.lacks_limits_cell(self.version, self.account, self.extras(), at_us)
        assert bool(self.compiled("lacks_limits_cell", 0, at_us)[0]) == lacks
        return lacks

    def extras(self) -> Extras:
        return Extras(cells=deepcopy(self.cells), room=self.cells_max - len(self.cells))

    def compiled(self, what: str, amount_minor: int, at_us: int) -> tuple[int, list[bytes]]:
        extras = self.extras()
        images = [one.pack() for one in extras.cells]
        account = asdict(self.account)
        return _probe.limits(what, self.book, account, extras.room, images, amount_minor, at_us)

    def keep(self, extras: Extras, images: list[bytes]) -> None:
        assert [one.pack() for one in extras.cells] == images
        self.cells = extras.cells
