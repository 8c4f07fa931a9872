"""Layer 2 of the reference engine: what legs of one journey do to each other, and their chain.

docs/fares.md, "Layer 2", is the text. Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastpath.cells import CellType
from fastpath.checks import sure
from fastpath.layers import OWN_TRANSFERS_MAX, Begins, Join, Measured, Transfer, TransferEffect
from fastpath.reference_case import Case, Charge, Leg, network_of
from fastpath.reference_cells import Chain, Span
from fastpath.reference_factors import Factors, discounted
from fastpath.reference_legs import band_price, bands_of, product_price
from fastpath.reference_model import LAST_CHAIN, LEGS_MAX
from fastpath.reference_period import fits
from fastpath.types import Act, JourneyState, Rule, TapKind

INT32_MAX = (1 << 31) - 1
OWN_SHIFT = 10
GROUP_MASK = (1 << OWN_SHIFT) - 1
UINT32_MAX = (1 << 32) - 1


# --- joins ----------------------------------------------------------------------------------------


def find_continuation(case: Case) -> tuple[Rule, int] | None:
    """Whether this check-in continues the finished journey: (rule, index of the join or -1)."""
    account, version = case.owner, case.tariff
    if account.journey_state != JourneyState.DONE or account.leg_count >= LEGS_MAX:
        return None
    has_returned = account.leg_count > 1 and account.exit_stop == account.origin_stop
    if has_returned and version.splits_round_trips:
        return None
    gap_us = case.ts_us - account.exit_ts_us
    if not (version.knows(account.origin_stop) and version.knows(account.exit_stop)):
        return None
    if version.has_interchange(account.exit_stop, case.tap.stop, gap_us):
        return Rule.OUT_OF_STATION, -1
    for index, join in enumerate(case.layers.joins):
        if _join_fits(case, join, gap_us):
            return Rule.JOINED_LEG, index
    return None


def _join_fits(case: Case, join: Join, gap_us: int) -> bool:
    chain = case.extras.find_chain()
    index_of = case.tariff.index_of
    stops = (index_of.get(case.owner.exit_stop), index_of.get(case.tap.stop))
    return bool(
        join.from_network == (chain.network if chain else 0)
        and join.to_network == network_of(case)
        and join.from_idx in (-1, stops[0])
        and join.to_idx in (-1, stops[1])
        and gap_us >= 0
        and (join.window_us == -1 or gap_us <= join.window_us)
    )


def joined_by(case: Case) -> Rule:
    """What joined the leg that this check-out ends."""
    account = case.owner
    if not case.is_joined:
        return Rule(0)
    by_pair = case.tariff.has_pair(account.exit_stop, account.entry_stop)
    return Rule.OUT_OF_STATION if by_pair or not case.layers.joins else Rule.JOINED_LEG


# --- transfers ------------------------------------------------------------------------------------


def chain_before(case: Case) -> Chain:
    """The chain as it was when the leg that this tap ends began."""
    kind = CellType.CHAIN_BEFORE if case.is_joined else CellType.CHAIN
    return (case.extras.find_chain(kind) if case.keeps_chain else None) or Chain()


def transferred(case: Case, leg: Leg, factors: Factors, price_minor: int) -> tuple[int, bool, bool]:
    """(what the leg costs after a transfer, whether there is one, whether it may be below 0)."""
    chain = chain_before(case)
    last_group = chain.last_group & GROUP_MASK
    can_be = (
        not keeps_span(case)
        and last_group != 0
        and leg.group != 0
        and leg.dep_us >= chain.last_arr_us
    )
    if not can_be or case.is_late:
        return price_minor, False, False
    for index, rule in enumerate(case.layers.transfers):
        if (rule.from_group, rule.to_group) != (last_group, leg.group):
            continue
        cost_minor = _transfer_cost(case, rule, chain, Priced(leg, factors, price_minor))
        if cost_minor is not None:
            case.out.rules |= Rule.TRANSFER
            case.act(Act.TRANSFER, index)
            return cost_minor, True, rule.effect == TransferEffect.TRANSFER_ONLY
    return price_minor, False, False


@dataclass(frozen=True, slots=True)
class Priced:
    """A leg with its price before transfers."""

    leg: Leg
    factors: Factors
    price_minor: int


def keeps_span(case: Case) -> bool:
    """Whether legs of the tap's network leave the span as it is: they use and make no transfer."""
    return fits(case.layers.span_networks, network_of(case))


def _times_before(case: Case) -> tuple[int, int, int]:
    """(arrival of the span's first leg, departure, arrival of the run's) as chain_before; 0 = not
    known.
    """
    span = case.extras.find_span()
    if span is None:
        return 0, 0, 0
    return span.before if case.is_joined else span.now


def _begin_of(case: Case, rule: Transfer, chain: Chain) -> int:
    """Where a window begins: with the leg before, or the first of its span or its run."""
    by_departure = rule.measured in (
        Measured.DEPARTURE_TO_ARRIVAL,
        Measured.DEPARTURE_TO_DEPARTURE,
    )
    first_arr_us, run_dep_us, run_arr_us = _times_before(case)
    kept_us = 0
    if rule.begins == Begins.SPAN:
        if by_departure:
            return chain.first_dep_us
        kept_us = first_arr_us
    elif rule.begins == Begins.RUN and chain.last_group >> OWN_SHIFT:
        kept_us = run_dep_us if by_departure else run_arr_us
    return kept_us or (chain.last_dep_us if by_departure else chain.last_arr_us)


def _is_in_window(case: Case, rule: Transfer, chain: Chain, leg: Leg) -> bool:
    to_arrival = rule.measured in (Measured.DEPARTURE_TO_ARRIVAL, Measured.ARRIVAL_TO_ARRIVAL)
    end_us = leg.arr_us if to_arrival else leg.dep_us
    return rule.window_us == -1 or end_us - _begin_of(case, rule, chain) <= rule.window_us


def _transfer_cost(case: Case, rule: Transfer, chain: Chain, priced: Priced) -> int | None:
    """What this leg costs by the rule; None = the rule does not fit."""
    leg, price_minor = priced.leg, priced.price_minor
    count = chain.last_group >> OWN_SHIFT if rule.counts_own else chain.transfers
    if not _is_in_window(case, rule, chain, leg) or 0 <= rule.count_max <= count:
        return None
    amount_minor = rule.amount_minor
    if rule.product >= 0:
        legs = case.tariff.legs
        legs = sure(legs)
        amount_minor = product_price(legs, rule.product, leg.category, case.tap.medium_kind)
        if amount_minor < 0:
            return None
    span_minor = chain.span_paid_minor
    match rule.effect:
        case TransferEffect.FIRST_AND_TRANSFER:
            return amount_minor
        case TransferEffect.ALL:
            return amount_minor + price_minor
        case TransferEffect.TRANSFER_ONLY:
            return amount_minor - chain.last_charged_minor
        case TransferEffect.MINUS:
            return max(0, price_minor - amount_minor)
        case TransferEffect.DIFFERENCE:
            return max(0, price_minor - span_minor) + amount_minor
        case TransferEffect.THROUGH:
            through_minor = _through_price(case, chain, leg, priced.factors)
            if through_minor is None:
                return None
            return max(0, through_minor - span_minor) + amount_minor


def _through_price(case: Case, chain: Chain, leg: Leg, factors: Factors) -> int | None:
    bands = bands_of(case.tariff, leg.column)
    if bands is None:
        return None
    priced = band_price(bands, min(UINT32_MAX, chain.distance_m + leg.distance_m))
    return None if priced is None else discounted(case, factors, priced[0], priced[0], tell=False)


# --- the chain ------------------------------------------------------------------------------------


def _clamped(amount_minor: int) -> int:
    return max(-INT32_MAX, min(INT32_MAX, amount_minor))


def _with_leg(chain: Chain, leg: Leg, cost_minor: int, *, by_transfer: bool) -> Chain:
    is_own = by_transfer and chain.last_group & GROUP_MASK == leg.group
    own = min(OWN_TRANSFERS_MAX, (chain.last_group >> OWN_SHIFT) + 1) if is_own else 0
    return Chain(
        first_dep_us=chain.first_dep_us if by_transfer else leg.dep_us,
        last_dep_us=leg.dep_us,
        last_arr_us=leg.arr_us,
        journey_dep_us=chain.journey_dep_us,
        last_charged_minor=_clamped(cost_minor),
        span_paid_minor=_clamped((chain.span_paid_minor if by_transfer else 0) + cost_minor),
        distance_m=min(UINT32_MAX, (chain.distance_m if by_transfer else 0) + leg.distance_m),
        last_group=leg.group | own << OWN_SHIFT,
        transfers=min(255, chain.transfers + 1) if by_transfer else 0,
        network=leg.network,
    )


def _add_times(span: Span | None, chain: Chain, leg: Leg, *, by_transfer: bool) -> None:
    """The first legs of span and run with one more leg; the chain is that of the leg before."""
    if span is None:
        return
    if not by_transfer:
        span.first_arr_us = leg.arr_us
    if not by_transfer or chain.last_group & GROUP_MASK != leg.group:
        span.run_dep_us = span.run_arr_us = 0
    elif chain.last_group >> OWN_SHIFT == 0:
        span.run_dep_us, span.run_arr_us = chain.last_dep_us, chain.last_arr_us


def _keep_times(case: Case, *, is_joined: bool) -> Span | None:
    """First legs before this tap are kept; the check-out of a joined leg starts from them."""
    span = case.extras.find_span()
    if span is not None and is_joined:
        span.now = span.before
    elif span is not None:
        span.before = span.now
    return span


def _end_times(span: Span | None) -> None:
    if span is not None:
        span.now = (0, 0, 0)


def _put(case: Case, now: Chain, before: Chain | None) -> None:
    """Keep the chain, and how it was before this tap; None = that stays as it is."""
    if before is not None:
        case.extras.put_chain(before, CellType.CHAIN_BEFORE)
    case.extras.put_chain(now)
    case.owner.last_flags |= LAST_CHAIN


def _make_chains(case: Case) -> bool:
    return case.extras.make_chains(has_span=case.tariff.has_span)


def keep_entry(case: Case, *, is_joined: bool, is_closing: bool) -> None:
    """After an accepted check-in: when the journey began; an incomplete one ends the span."""
    if not case.keeps_chain or is_joined or not _make_chains(case):
        return
    before = case.extras.find_chain()
    before = sure(before)
    span = _keep_times(case, is_joined=False)
    now = replace(before)
    if is_closing and not keeps_span(case):
        now = Chain(network=before.network)
        _end_times(span)
    now.journey_dep_us = case.ts_us
    _put(case, now, before)


def keep_leg(case: Case, charge: Charge, *, journey_minor: int) -> None:
    """After an accepted leg that was not late. journey_minor: what its earlier legs cost."""
    if not case.keeps_chain or not (charge.leg or charge.ends_span):
        return
    is_joined = case.is_joined
    if charge.leg is None and case.extras.find_chain() is None:
        return
    is_new = case.extras.find_chain() is None
    if not _make_chains(case):
        return
    standing = case.extras.find_chain()
    standing = sure(standing)
    if is_new and case.is_ride and charge.leg is not None:
        standing.journey_dep_us = charge.leg.dep_us
    base = standing
    if is_joined:
        base = replace(chain_before(case), journey_dep_us=standing.journey_dep_us)
    span = _keep_times(case, is_joined=is_joined)
    network = network_of(case) if case.is_ride or charge.leg else base.network
    if keeps_span(case):
        now = replace(base, network=network)
    elif charge.leg is not None:
        cost_minor = journey_minor + charge.ride_minor
        _add_times(span, base, charge.leg, by_transfer=charge.by_transfer)
        now = _with_leg(base, charge.leg, cost_minor, by_transfer=charge.by_transfer)
    else:
        now = Chain(journey_dep_us=standing.journey_dep_us, network=network)
        _end_times(span)
    _put(case, now, None if is_joined else standing)


# --- group riders ---------------------------------------------------------------------------------


def takes_rider(case: Case) -> bool:
    """Whether a flat tap that repeats the last one is one more rider of a group."""
    most = case.layers.group_riders_max
    cell = case.extras.find(CellType.CHAIN, case.extras.owner)
    is_flat = case.tap.kind == TapKind.FLAT
    return is_flat and most > 1 and cell is not None and cell.riders < most


def keep_riders(case: Case, *, is_rider: bool) -> None:
    """After an accepted flat tap that was no pass-back."""
    if case.layers.group_riders_max <= 1 or not _make_chains(case):
        return
    cell = case.extras.find(CellType.CHAIN, case.extras.owner)
    cell = sure(cell)
    cell.riders = cell.riders + 1 if is_rider else 1
