"""Re-ratings as people read them: plain data, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpath.api import Replayed
from fastpath.types import Rule, TapKind
from gateway.rerating.complete import Incomplete
from gateway.rerating.plan import Plan
from gateway.rerating.replay import PricedTap
from gateway.rerating.service import Result

Explain = Callable[[Replayed], list[dict[str, object]]]
"""The rules that acted, each with its file and line."""


def describe_result(result: Result, explain: Explain | None = None) -> dict[str, Any]:
    """What became of an account."""
    said: dict[str, Any] = {"account_id": result.account_id, "outcome": result.outcome}
    if result.plan is not None:
        said |= describe_plan(result.plan, explain)
    if result.reply is not None:
        said["position"] = result.reply["position"]
        said["balance_minor"] = result.reply["balance_minor"]
    if result.error is not None:
        said["error"] = result.error.as_dict()
    return said


def describe_plan(plan: Plan, explain: Explain | None = None) -> dict[str, Any]:
    """What a re-rating does, tap by tap where the price changes."""
    return {
        "account_id": plan.account_id,
        "version": plan.version,
        "is_needed": plan.is_needed,
        "amount_minor": plan.amount_minor,
        "taps": len(plan.taps),
        "from_us": plan.from_us if plan.taps else None,
        "changed": [_describe_tap(one, explain) for one in plan.changed],
    }


def _describe_tap(one: PricedTap, explain: Explain | None) -> dict[str, Any]:
    tap, made = one.tap, one.made
    said = {
        "at_us": tap.at_us,
        "kind": TapKind(tap.kind).name.lower(),
        "stop": tap.stop,
        "charged_minor": tap.charged_minor,
        "fare_minor": made.fare_minor,
        "position": tap.position,
        "is_claim": tap.is_claim,
        "rules": [rule.name.lower() for rule in Rule if rule & made.rules and rule.name],
    }
    return said if explain is None else said | {"why": explain(made)}


def describe_incomplete(one: Incomplete) -> dict[str, Any]:
    """A journey of which one end is missing."""
    return {
        "position": one.position,
        "missing": one.missing.name.lower(),
        "stop": one.stop,
        "at_us": one.at_us,
        "charged_minor": one.charged_minor,
        "earliest_us": one.earliest_us,
        "latest_us": one.latest_us,
        "is_open": one.is_open,
    }
