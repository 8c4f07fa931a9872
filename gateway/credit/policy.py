"""Credit policies: TOML files that say who gets which limit, when statements close and fall due.

`load_policy` reads one file and tells all its faults at once. Amounts are int minor units of the
policy's currency. Must not import engines, databases or sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.errors import ConfigError
from gateway.tariffs.reader import Document, Findings, Table, load_document
from gateway.tariffs.units import CURRENCIES, Currency

FORMAT = 1
SCORE_MAX = 1_000
TIER_MAX = 15
DAYS_MAX = 3_660
INSTALMENTS_MAX = 60


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Who has at least this score and this identity tier gets this limit."""

    score_from: int
    tier_from: int
    limit_minor: int
    line: int
    """In the policy's file: what a limit is explained by."""


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """What the rules say. rule: the line that acted, None = nobody gets credit by no rule."""

    limit_minor: int
    rule: LimitRule | None


@dataclass(frozen=True, slots=True)
class CreditPolicy:
    """One policy.

    statement_day: day of the month (1 to 28) at whose local midnight a statement closes.
    due_days: from closing to the due instant. grace_days: from there until the line is late.
    write_off_days: from the due instant until a write-off is proposed.
    plan_from_minor: least amount that may be paid in instalments.
    late_fee_minor: taken once for each statement that turns late.
    """

    policy_id: str
    currency: Currency
    zone: ZoneInfo
    statement_day: int
    due_days: int
    grace_days: int
    write_off_days: int
    limits: tuple[LimitRule, ...]
    plan_from_minor: int
    plan_counts: tuple[int, ...]
    late_fee_minor: int = 0

    def decide_limit(self, score: int, tier: int) -> LimitDecision:
        """The first rule that fits, from the top of the file; none = no credit."""
        for rule in self.limits:
            if score >= rule.score_from and tier >= rule.tier_from:
                return LimitDecision(rule.limit_minor, rule)
        return LimitDecision(0, None)


def load_policy(path: Path) -> CreditPolicy:
    """Read and check a policy. Raises: ConfigError CREDIT_POLICY_INVALID with all findings."""
    findings = Findings()
    document = load_document(path, findings)
    if document.data:
        root = Table.root(document, findings)
        policy = _read(root, document, path)
        root.close()
        if not findings.items:
            return policy
    found = sorted(dict.fromkeys(findings.items), key=lambda one: one.line)
    detail = f"{path.name}: {len(found)} faults"
    raise ConfigError("CREDIT_POLICY_INVALID", detail, findings=[str(one) for one in found])


def _read(root: Table, document: Document, path: Path) -> CreditPolicy:
    root.whole("format", low=FORMAT, high=FORMAT)
    currency = CURRENCIES[root.choice("currency", tuple(CURRENCIES))]
    statement, plan = root.table("statement"), root.table("plan", needed=False)
    fee = root.table("fee", needed=False)
    policy = CreditPolicy(
        policy_id=root.text("id"),
        currency=currency,
        zone=_zone(root),
        statement_day=statement.whole("day", low=1, high=28),
        due_days=statement.whole("due_days", low=1, high=DAYS_MAX),
        grace_days=statement.whole("grace_days", 0, high=DAYS_MAX),
        write_off_days=statement.whole("write_off_days", low=1, high=DAYS_MAX),
        limits=tuple(_limits(root, document, currency)),
        plan_from_minor=plan.amount("from", currency.exponent, 0),
        plan_counts=tuple(_counts(plan)),
        late_fee_minor=fee.amount("late", currency.exponent, 0),
    )
    for table in (statement, plan, fee):
        table.close()
    root.text("source", "")
    if policy.policy_id != path.stem:
        root.fault("id", f"is {policy.policy_id!r}", f"the name of the file: {path.stem}")
    if policy.write_off_days <= policy.grace_days:
        statement.fault("write_off_days", "comes before the line is even late")
    return policy


def _zone(root: Table) -> ZoneInfo:
    name = root.text("zone")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        root.fault("zone", f"{name!r} is no time zone", "an IANA name as Asia/Shanghai")
        return ZoneInfo("UTC")


def _limits(root: Table, document: Document, currency: Currency) -> Iterator[LimitRule]:
    for row in root.tables("limit"):
        yield LimitRule(
            score_from=row.whole("score_from", 0, high=SCORE_MAX),
            tier_from=row.whole("tier_from", 0, high=TIER_MAX),
            limit_minor=row.amount("limit", currency.exponent),
            line=document.line_of(row.path),
        )
        row.close()
    if root.is_list("limit") and not root.values("limit"):
        root.fault("limit", "there is none", "write a [[limit]] for those who get credit")


def _counts(plan: Table) -> Iterator[int]:
    for value in plan.values("instalments"):
        if isinstance(value, bool) or not isinstance(value, int):
            plan.fault("instalments", f"holds {value!r}", "write whole numbers")
        elif not 2 <= value <= INSTALMENTS_MAX:
            plan.fault("instalments", f"holds {value}", f"2 to {INSTALMENTS_MAX}")
        else:
            yield value
