"""Running the examples inside a file of limits against an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from fastpath.limits import LimitSpec
from fastpath.reference_cells import Extras
from fastpath.reference_limits import (
    LimitVersion,
    check_balance_limit,
    check_spend,
    count_spend,
    uncount_spend,
)
from fastpath.reference_model import Account, first_told
from fastpath.types import Reason
from gateway.limits.compile import compile_limits
from gateway.limits.source import BACK, CREDIT, PAY, TIER, LimitExample, LimitSource, Step
from gateway.tariffs.calendar import instant_us

ROOM = 4


class LimitedPurse(Protocol):
    """An account as examples use it, on one engine. Amounts are minor units, instants UTC us."""

    tier: int

    def pay(self, amount_minor: int, at_us: int) -> Reason:
        """Spend, if the limits let it."""

    def credit(self, amount_minor: int, at_us: int) -> Reason:
        """Put money in, if the limits let it."""

    def give_back(self, amount_minor: int, spent_us: int) -> None:
        """Undo a payment made at an instant."""


@dataclass(slots=True)
class ReferencePurse:
    """A purse on the reference engine."""

    spec: LimitSpec
    tier: int = 0
    balance_minor: int = 0
    extras: Extras = field(default_factory=lambda: Extras(room=ROOM))

    @property
    def _version(self) -> LimitVersion:
        return LimitVersion(0, self.spec)

    @property
    def _account(self) -> Account:
        return Account(
            tier=self.tier, currency=self.spec.currency, balance_minor=self.balance_minor
        )

    def pay(self, amount_minor: int, at_us: int) -> Reason:
        """As LimitedPurse says."""
        asked = (self._version, self._account, self.extras, amount_minor, at_us)
        told = first_told(check_spend(*asked))
        if told is None:
            count_spend(*asked)
            self.balance_minor -= amount_minor
        return told or Reason.OK

    def credit(self, amount_minor: int, at_us: int) -> Reason:
        """As LimitedPurse says."""
        asked = (self._version, self._account, self.extras, amount_minor, at_us)
        told = first_told(check_balance_limit(*asked))
        if told is None:
            self.balance_minor += amount_minor
        return told or Reason.OK

    def give_back(self, amount_minor: int, spent_us: int) -> None:
        """As LimitedPurse says."""
        uncount_spend(self._version, self.extras, amount_minor, spent_us)
        self.balance_minor += amount_minor


def run_examples(source: LimitSource) -> list[str]:
    """Faults of the examples of a file, one line each."""
    spec = compile_limits(source)
    found = []
    for example in source.examples:
        purse = ReferencePurse(spec, example.tier, example.balance_minor)
        faults = run_example(source, example, purse)
        found += [f"{source.file}:{example.line}: {example.name}: {fault}" for fault in faults]
    return found


def run_example(source: LimitSource, example: LimitExample, purse: LimitedPurse) -> list[str]:
    """What of an example came out otherwise than the file says, on the engine of the purse."""
    return list(_run(source, example, purse))


def _run(source: LimitSource, example: LimitExample, purse: LimitedPurse) -> Iterator[str]:
    for place, step in enumerate(example.steps, start=1):
        if step.what == BACK:
            undone = example.steps[step.value - 1]
            purse.give_back(undone.value, _us(source, undone))
            continue
        reason = _take(source, step, purse)
        expected = step.reason or Reason.OK.name.lower()
        if reason.name.lower() != expected:
            yield f"step {place} ({step.at}) is {reason.name.lower()}, expected {expected}"


def _take(source: LimitSource, step: Step, purse: LimitedPurse) -> Reason:
    if step.what == PAY:
        return purse.pay(step.value, _us(source, step))
    if step.what == CREDIT:
        return purse.credit(step.value, _us(source, step))
    if step.what == TIER:
        purse.tier = step.value
    return Reason.OK


def _us(source: LimitSource, step: Step) -> int:
    """The instant of a step; a time that clocks show twice is the first one."""
    return instant_us(step.at.replace(tzinfo=source.zone, fold=0))
