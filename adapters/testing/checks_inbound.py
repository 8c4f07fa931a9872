"""Checks of what the peer tells by itself: understood, told twice, forged, cut, garbage."""

from __future__ import annotations

from typing import Any

from adapters.contract import AckResult, Adapter, Capability, Event, Meta
from adapters.errors import Malformed, Unauthorized
from adapters.testing.bench import Bench, Inbound
from adapters.testing.kit import NotApplicable, check, expect
from adapters.testing.remote import GARBAGE


def _messages(bench: Bench, adapter: Adapter[Any]) -> list[Inbound]:
    if Capability.INBOUND not in adapter.info.capabilities:
        raise NotApplicable("the peer tells nothing by itself")
    messages = bench.inbound()
    expect(messages, "INBOUND is claimed, but the bench has no message")
    return messages


def _parse(adapter: Adapter[Any], raw: bytes, meta: Meta) -> list[Event] | Exception:
    try:
        return adapter.parse(raw, meta)
    except (Malformed, Unauthorized) as error:
        return error


@check
async def messages_become_events(bench: Bench) -> None:
    """The kinds that the bench names, each with an id and an aggregate."""
    async with bench.opened() as adapter:
        for message in _messages(bench, adapter):
            events = adapter.parse(message.raw, message.meta)
            expect(tuple(event.kind for event in events) == message.kinds, f"{events}")
            ids = [event.message_id for event in events]
            expect(all(ids) and len(set(ids)) == len(ids), f"ids: {ids}")
            expect(all(event.aggregate for event in events), "no aggregate")


@check
async def told_twice_and_later_it_is_the_same_event(bench: Bench) -> None:
    """Ids come from the message, never from when or how often it came."""
    async with bench.opened() as adapter:
        for message in _messages(bench, adapter):
            later = Meta(message.meta.source, message.meta.received_us + 1, message.meta.headers)
            first, second = (adapter.parse(message.raw, meta) for meta in (message.meta, later))
            same = all(bench.same_event(*pair) for pair in zip(first, second, strict=True))
            expect(same, "the same bytes became another event")


@check
async def forged_messages_are_refused(bench: Bench) -> None:
    """Before anything in them is believed."""
    async with bench.opened() as adapter:
        for message in _messages(bench, adapter):
            for raw, meta in message.forged:
                result = _parse(adapter, raw, meta)
                expect(isinstance(result, Unauthorized), f"{result!r} in place of Unauthorized")


@check
async def cut_messages_are_refused(bench: Bench) -> None:
    """At any length; never half of the events."""
    async with bench.opened() as adapter:
        for message in _messages(bench, adapter):
            size = len(message.raw)
            for end in sorted({0, 1, size // 3, size // 2, size - 2}):
                result = _parse(adapter, message.raw[:end], message.meta)
                expect(isinstance(result, Exception), f"cut at {end} of {size}: {result!r}")
            result = _parse(adapter, GARBAGE, message.meta)
            expect(isinstance(result, Exception), f"garbage: {result!r}")


@check
async def every_message_gets_an_answer(bench: Bench) -> None:
    """Bytes for each result, and the peer can tell a refusal from a receipt."""
    async with bench.opened() as adapter:
        for message in _messages(bench, adapter):
            answers = [adapter.ack(result, message.raw) for result in AckResult]
            expect(all(isinstance(one, bytes) for one in answers), f"{answers}")
            expect(len(set(answers)) == len(answers), f"answers that mean two things: {answers}")
