"""Commands, outcomes and events as JSON: the same thing always gives the same text."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from adapters.contract import Capability, Command, Event, Leg, Money, Outcome, Status
from adapters.errors import Refusal


def encode_command(command: Command) -> str:
    """A command without its attempt."""
    values = asdict(command)
    values.pop("attempt")
    return _text(values)


def decode_command(text: str, *, attempt: int) -> Command:
    """Back from JSON."""
    values = json.loads(text)
    values["capability"] = Capability(values["capability"])
    values["money"] = _money(values["money"])
    values["legs"] = _legs(values["legs"])
    return Command(**values, attempt=attempt)


def encode_outcome(outcome: Outcome) -> str:
    """An outcome as JSON."""
    return _text(asdict(outcome))


def decode_outcome(text: str) -> Outcome:
    """Back from JSON."""
    values = json.loads(text)
    values["status"] = Status(values["status"])
    values["money"] = _money(values["money"])
    values["legs"] = _legs(values["legs"])
    values["refusal"] = Refusal(values["refusal"]) if values["refusal"] else None
    return Outcome(**values)


def encode_event(event: Event) -> str:
    """An event as JSON."""
    return _text(asdict(event))


def decode_event(text: str) -> Event:
    """Back from JSON."""
    return Event(**json.loads(text))


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _money(value: dict[str, int] | None) -> Money | None:
    return Money(**value) if value is not None else None


def _legs(values: list[dict[str, Any]]) -> tuple[Leg, ...]:
    return tuple(Leg(one["name"], Money(**one["money"])) for one in values)
