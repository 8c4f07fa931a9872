"""Checks of commands when nothing goes wrong on the way: once, refused, pending, twice, undone."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from adapters.contract import NOT_FOUND, Capability, NotFound, Outcome, Status
from adapters.errors import Refusal, Rejected
from adapters.testing.bench import Bench
from adapters.testing.kit import (
    NotApplicable,
    asked,
    check,
    done,
    expect,
    is_unknown,
    refusal_of,
    told,
)
from adapters.testing.remote import Trouble

PARALLEL = 50


@check
async def success(bench: Bench) -> None:
    """Done, once, with the peer's reference and a digest of its answer."""
    async with bench.opened() as adapter:
        outcome = done(await told(adapter.execute(bench.command("k-1"))))
    expect(bench.effects("k-1") == 1, f"{bench.effects('k-1')} effects at the peer")
    expect(outcome.peer_ref, "no reference of the peer")
    expect(re.fullmatch("[0-9a-f]{64}", outcome.raw_digest), "raw_digest is no SHA-256")


@check
async def the_peer_gets_the_key(bench: Bench) -> None:
    """Other keys are other commands, also with the same content."""
    async with bench.opened() as adapter:
        for key in ("k-1", "k-2"):
            done(await told(adapter.execute(bench.command(key))))
    expect((bench.effects("k-1"), bench.effects("k-2")) == (1, 1), "the key does not reach it")


@check
async def query_says_the_same(bench: Bench) -> None:
    """What became of a key is told again, by a new adapter, without doing anything."""
    async with bench.opened() as adapter:
        first = done(await told(adapter.execute(bench.command("k-1"))))
    async with bench.opened() as adapter:
        again = done(await asked(adapter.query("k-1")))
    expect(again.peer_ref == first.peer_ref, "another reference")
    expect(again.money == first.money, "another amount")
    expect(bench.effects("k-1") == 1, "the question did something")


@check
async def query_of_an_unknown_key(bench: Bench) -> None:
    """NOT_FOUND, and nothing else."""
    async with bench.opened() as adapter:
        found = await asked(adapter.query("k-never"))
    expect(found is NOT_FOUND, f"{found!r} in place of NOT_FOUND")


@check
async def a_refusal(bench: Bench) -> None:
    """A word of ours for why, nothing done, and the same answer when asked."""
    command, refusal = bench.refused("k-1")
    async with bench.opened() as adapter:
        result = await told(adapter.execute(command))
        expect(refusal_of(result) is refusal, f"{result!r} in place of {refusal}")
        found = await asked(adapter.query("k-1"))
    known = isinstance(found, NotFound) or refusal_of(found) is refusal
    expect(known, f"asked about it, it says {found!r}")
    expect(bench.effects("k-1") == 0, "refused, and done")


@check
async def not_supported(bench: Bench) -> None:
    """What it does not claim is refused before anything is sent."""
    async with bench.opened() as adapter:
        others = set(Capability) - adapter.info.capabilities
        for capability in sorted(others):
            try:
                adapter.validate(replace(bench.command("k-1"), capability=capability))
            except Rejected as error:
                expect(error.refusal is Refusal.NOT_SUPPORTED, f"refused as {error.refusal}")
            else:
                raise AssertionError(f"{capability} is not refused")
    expect(not bench.remote.requests, "validate asked the peer")


@check
async def validate_accepts_what_works(bench: Bench) -> None:
    """The bench's own command."""
    async with bench.opened() as adapter:
        adapter.validate(bench.command("k-1"))
    expect(not bench.remote.requests, "validate asked the peer")


@check
async def pending_then_done(bench: Bench) -> None:
    """Taken but not finished is pending, and query finds the end."""
    if not bench.can_pend:
        raise NotApplicable("it answers at once")
    bench.remote.on_write.append(Trouble.PENDING)
    async with bench.opened() as adapter:
        first = await told(adapter.execute(bench.command("k-1")))
        pending = isinstance(first, Outcome) and first.status is Status.PENDING
        expect(pending, f"{first!r} in place of pending")
        done(await asked(adapter.query("k-1")))
    expect(bench.effects("k-1") == 1, "not once")


@check
async def the_same_key_again(bench: Bench) -> None:
    """One effect; the second time the same outcome, or a refusal as a duplicate."""
    async with bench.opened() as adapter:
        first = done(await told(adapter.execute(bench.command("k-1"))))
        second = await told(adapter.execute(replace(bench.command("k-1"), attempt=2)))
    if refusal_of(second) is not Refusal.DUPLICATE:
        expect(done(second).peer_ref == first.peer_ref, "another reference")
    expect(bench.effects("k-1") == 1, f"{bench.effects('k-1')} effects of one key")


@check
async def the_same_key_many_times_at_once(bench: Bench) -> None:
    """One effect, whatever the number of attempts."""
    async with bench.opened() as adapter:
        calls = (told(adapter.execute(bench.command("k-1"))) for _ in range(PARALLEL))
        results = await asyncio.gather(*calls)
    for result in results:
        told_so = isinstance(result, Outcome) or refusal_of(result) is Refusal.DUPLICATE
        expect(told_so or is_unknown(result), f"{result!r}")
    expect(bench.effects("k-1") == 1, f"{bench.effects('k-1')} effects of one key")


@check
async def compensate(bench: Bench) -> None:
    """Undone once under a key of its own, however often it is tried; the question finds it."""
    if not bench.can_undo:
        raise NotApplicable("it cannot undo")
    async with bench.opened() as adapter:
        command = bench.command("k-1")
        outcome = done(await told(adapter.execute(command)))
        for _ in range(3):
            result = await told(adapter.compensate(command, outcome))
            fine = refusal_of(result) is Refusal.DUPLICATE or done(result)
            expect(fine, f"{result!r}")
        done(await asked(adapter.query("k-1:undo")))
    expect(bench.effects("k-1:undo") == 1, f"{bench.effects('k-1:undo')} effects of the undoing")
    expect(bench.effects("k-1") == 1, "the command itself again")


@check
async def compensate_after_a_lost_answer(bench: Bench) -> None:
    """Undoing is a command like any other: sent and not heard is unknown."""
    if not bench.can_undo:
        raise NotApplicable("it cannot undo")
    async with bench.opened() as adapter:
        command = bench.command("k-1")
        outcome = done(await told(adapter.execute(command)))
        bench.remote.on_write.append(Trouble.DROP_AFTER)
        first = await told(adapter.compensate(command, outcome))
        expect(not isinstance(first, Outcome) or not first.status.is_final, f"{first!r}")
        done(await asked(adapter.query("k-1:undo")))
    expect(bench.effects("k-1:undo") == 1, "not once")
