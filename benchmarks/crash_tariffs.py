"""What rides cost in the simulated world and in the rounds: one table, or a town with layers.

The town (crash_town.toml) has transfers, a daily cap, tiers by the trips of a month and a pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from fastpath.api import CompiledTariff
from fastpath.layers import PeriodKind, Step
from fastpath.types import CapOwner, TariffSpec
from gateway.tariffs.loaded import load
from tests.support.tariff import STOPS, small_spec

TOWN = Path(__file__).with_name("crash_town.toml")
BUS, TRAM, METRO = 7, 8, 0
"""Lines of the town; a tap that names none is the metro's."""
IN_ROUNDS = {"beijing": "beijing-subway", "layered": str(TOWN)}
"""What the rounds load: one table, or the town."""
DAY_CAP_MINOR = 500
DISTANCES_M = (0, 3_000, 9_000, 17_000)


@dataclass(frozen=True, slots=True)
class SimTariff:
    """One tariff of the simulated world, and what its taps may name."""

    spec: TariffSpec
    compiled: CompiledTariff
    stops: tuple[int, ...] = STOPS
    lines: tuple[int, ...] = (METRO,)
    distances_m: tuple[int, ...] = (0,)
    pass_id: int = 0
    """0 = it sells none."""

    @classmethod
    def build(cls, spec: TariffSpec) -> SimTariff:
        compiled = CompiledTariff.build(spec)
        if spec.layers is None:
            return cls(spec, compiled)
        return cls(
            spec,
            compiled,
            tuple(spec.stop_ids),
            (METRO, BUS, BUS, TRAM, TRAM),
            DISTANCES_M,
            spec.layers.passes[0].pass_id,
        )


def _with_low_cap(spec: TariffSpec) -> TariffSpec:
    """A schedule is some dozens of taps: in the town a day's trams cost ten times this."""
    if spec.layers is None:
        return spec
    rules = tuple(
        replace(rule, steps=(Step(limit_minor=DAY_CAP_MINOR),))
        if rule.kind == PeriodKind.CAP
        else rule
        for rule in spec.layers.period_rules
    )
    return replace(spec, layers=replace(spec.layers, period_rules=rules))


@cache
def sim_tariffs() -> tuple[SimTariff, ...]:
    """One table; the town; the town whose counters and chains belong to the medium."""
    town = _with_low_cap(load(TOWN).spec)
    of_medium = replace(town, rules=replace(town.rules, cap_owner=CapOwner.MEDIUM))
    return tuple(SimTariff.build(spec) for spec in (small_spec(), town, of_medium))
