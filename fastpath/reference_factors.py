"""The factors of the reference engine: from a nominal price to the price of a leg, rounded once.

docs/fares.md, "The order" and "Layer 3". Must import only the standard library and fastpath.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction

from fastpath.layers import Measure, PeriodKind, PeriodRule, RoundMode
from fastpath.reference_case import Case, Leg, is_countable
from fastpath.reference_period import counted_earlier, read_rule, rules_for
from fastpath.types import FACTOR_ONE_PPM, Act, MonthBasis, Rule

ONE = FACTOR_ONE_PPM


@dataclass(slots=True)
class Tier:
    """Steps of a total: where they begin and their factors; below the first the factor is 1.

    numbers: what is told of each step as act.
    """

    rule: Rule
    act: Act
    begins: list[int]
    factors_ppm: list[int]
    numbers: list[int]
    total: int
    is_split: bool

    def place(self, total: int) -> int:
        """Index of the step that a total lies in, -1 = before the first."""
        return bisect_right(self.begins, total) - 1

    def factor_at(self, place: int) -> int:
        return self.factors_ppm[place] if place >= 0 else ONE


@dataclass(slots=True)
class Factors:
    """All that acts on the price of one leg."""

    time_ppm: int
    time_number: int
    whole: list[tuple[Rule, int]]
    tiers: list[Tier] = field(default_factory=list)


def find_factors(
    case: Case, leg: Leg, *, discount: int, before_minor: int, nominal_before_minor: int
) -> Factors:
    """What acts on this leg. discount: number of the time discount, 0 = none.

    before_minor, nominal_before_minor: what earlier legs of the journey cost and would cost.
    """
    spec, legs = case.tariff.spec, case.tariff.legs
    kind = case.tap.medium_kind & 15
    time_ppm = ONE
    if 0 < discount <= len(spec.time_discounts):
        time_ppm = spec.time_discounts[discount - 1].factor_ppm
    whole = [(Rule.MEDIUM_FACTOR, spec.medium_factor_ppm[kind])]
    if legs is not None and legs.factor_ppm:
        at = (leg.frame_in * legs.category_count + leg.category) * 16 + kind
        whole.append((Rule.LEG_FACTOR, legs.factor_ppm[at]))
    found = Factors(time_ppm, discount - 1, whole)
    is_nominal = spec.rules.month_basis == MonthBasis.NOMINAL
    found.tiers += _month_tier(case, nominal_before_minor if is_nominal else before_minor)
    for index, rule in rules_for(case, leg, PeriodKind.TIERS):
        reading = read_rule(case, rule)
        if reading is None:
            continue
        has_earlier = counted_earlier(case, leg, reading.spec)
        total = reading.before_journey(
            rule.measure, before_minor, nominal_before_minor, has_earlier=has_earlier
        )
        found.tiers.append(_period_tier(index, rule, total))
    return found


def _period_tier(index: int, rule: PeriodRule, total: int) -> Tier:
    return Tier(
        Rule.PERIOD_TIER,
        Act.PERIOD,
        [step.from_value for step in rule.steps],
        [step.factor_ppm for step in rule.steps],
        [index] * len(rule.steps),
        total,
        rule.is_split and rule.measure == Measure.PAID,
    )


def _month_tier(case: Case, before_minor: int) -> list[Tier]:
    steps, rules = case.tariff.spec.monthly_tiers, case.tariff.rules
    if not steps or not is_countable(case):
        return []
    by_trips = rules.month_basis == MonthBasis.TRIPS
    totals, month = case.totals, case.month
    if by_trips:
        total = totals.trips(month) - int(case.is_joined)
    else:
        total = totals.total(month) - (before_minor if case.is_joined else 0)
    return [
        Tier(
            Rule.MONTHLY_TIER,
            Act.MONTHLY_TIER,
            [one.from_minor for one in steps],
            [one.factor_ppm for one in steps],
            list(range(len(steps))),
            max(0, total),
            rules.tier_split and not by_trips,
        )
    ]


def half_up(value: Fraction) -> int:
    """To the nearest integer, halves up."""
    return (value + Fraction(1, 2)).__floor__()


def rounded(price: Fraction, unit: int, mode: RoundMode) -> int:
    """A price as a multiple of the unit."""
    units = price / unit
    low = units.__floor__()
    rest = units - low
    up = {
        RoundMode.HALF_UP: rest >= Fraction(1, 2),
        RoundMode.HALF_EVEN: rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1),
        RoundMode.DOWN: False,
        RoundMode.UP: rest > 0,
    }[mode]
    return (low + int(up)) * unit


def split_price(tier: Tier, price_minor: int) -> tuple[int, int | None]:
    """(sum of the parts, first step used that has a factor other than 1)."""
    left, at, total, first = price_minor, tier.total, 0, None
    while left > 0:
        place = tier.place(at)
        ppm = tier.factor_at(place)
        if ppm != ONE and first is None:
            first = place
        part = half_up(Fraction(left * ppm, ONE))
        is_last = place + 1 >= len(tier.begins)
        room = 0 if is_last else tier.begins[place + 1] - at
        if is_last or ppm == 0 or part <= room:
            return total + part, first
        total, at = total + room, at + room
        left = max(0, left - half_up(Fraction(room * ONE, ppm)))
    return total, first


def discounted(
    case: Case, factors: Factors, nominal_minor: int, discountable_minor: int, *, tell: bool = True
) -> int:
    """The price of a leg; `tell` notes on the decision which factors acted."""
    acting: list[tuple[Rule, tuple[Act, int] | None]] = []
    price = Fraction(nominal_minor)
    if factors.time_ppm != ONE and discountable_minor:
        price += discountable_minor * Fraction(factors.time_ppm - ONE, ONE)
        acting.append((Rule.TIME_DISCOUNT, (Act.TIME_DISCOUNT, factors.time_number)))
    for rule, ppm in factors.whole:
        if ppm != ONE:
            price *= Fraction(ppm, ONE)
            acting.append((rule, None))
    acts: dict[int, tuple[Rule, tuple[Act, int] | None]] = {}
    for order, tier in enumerate(factors.tiers):
        place = tier.place(tier.total)
        ppm = tier.factor_at(place)
        if not tier.is_split and ppm != ONE:
            price *= Fraction(ppm, ONE)
            acts[order] = (tier.rule, (tier.act, tier.numbers[place]))
    unit, mode = case.tariff.rules.round_to_minor, case.layers.round_mode
    price_minor = rounded(price, unit, mode) if acting or acts else nominal_minor
    for order, tier in enumerate(factors.tiers):
        if tier.is_split:
            whole_minor, place_used = split_price(tier, price_minor)
            if place_used is not None:
                price_minor = rounded(Fraction(whole_minor), unit, mode)
                acts[order] = (tier.rule, (tier.act, tier.numbers[place_used]))
    if tell:
        _tell(case, [*acting, *(acts[order] for order in sorted(acts))])
    return price_minor


def _tell(case: Case, acting: list[tuple[Rule, tuple[Act, int] | None]]) -> None:
    for rule, act in acting:
        case.out.rules |= rule
        if act is not None:
            case.act(*act)
