"""Checks of what goes wrong on the way: what is unknown is said to be unknown, and asking helps."""

from __future__ import annotations

import time

from adapters.contract import NOT_FOUND, CheckStatus, Outcome, Status
from adapters.errors import (
    AdapterError,
    Misconfigured,
    RateLimited,
    RetryClass,
    Unauthorized,
    Unavailable,
)
from adapters.testing.bench import Bench
from adapters.testing.kit import asked, check, done, expect, is_unknown, refusal_of, told
from adapters.testing.remote import RETRY_AFTER_S, Trouble

DEADLINE_S = 5.0


async def _unknown_then_asked(bench: Bench, trouble: Trouble, *, happened: bool) -> None:
    """Told under trouble: unknown within the deadline; asked: the truth; told again: one effect."""
    bench.remote.on_write.append(trouble)
    async with bench.opened() as adapter:
        begun = time.monotonic()
        result = await told(adapter.execute(bench.command("k-1")))
        expect(is_unknown(result), f"{result!r} in place of uncertain")
        expect(time.monotonic() - begun < DEADLINE_S, "its timeouts are longer than the bench's")
        found = await asked(adapter.query("k-1"))
        if happened:
            done(found)
        else:
            expect(found is NOT_FOUND, f"{found!r} in place of NOT_FOUND")
            done(await told(adapter.execute(bench.command("k-1"))))
    expect(bench.effects("k-1") == 1, f"{bench.effects('k-1')} effects")


@check
async def never_answered(bench: Bench) -> None:
    """Sent and nothing came back."""
    await _unknown_then_asked(bench, Trouble.NEVER, happened=False)


@check
async def answered_too_late(bench: Bench) -> None:
    """Done, and the answer came when nobody listened."""
    await _unknown_then_asked(bench, Trouble.LATE, happened=True)


@check
async def dropped_after_the_commit(bench: Bench) -> None:
    """Done, and the connection went."""
    await _unknown_then_asked(bench, Trouble.DROP_AFTER, happened=True)


@check
async def dropped_before_the_commit(bench: Bench) -> None:
    """The connection went before anything was done: nobody can tell the difference."""
    await _unknown_then_asked(bench, Trouble.DROP_BEFORE, happened=False)


@check
async def half_an_answer(bench: Bench) -> None:
    """Done, and the answer broke off."""
    await _unknown_then_asked(bench, Trouble.HALF, happened=True)


@check
async def an_error_after_the_commit(bench: Bench) -> None:
    """Done, and it says 500."""
    await _unknown_then_asked(bench, Trouble.ERROR_AFTER, happened=True)


@check
async def garbage(bench: Bench) -> None:
    """Done, and what it says cannot be read."""
    await _unknown_then_asked(bench, Trouble.GARBAGE, happened=True)


@check
async def an_answer_about_something_else(bench: Bench) -> None:
    """Done, and what it says can be read but is not about this."""
    await _unknown_then_asked(bench, Trouble.WRONG, happened=True)


@check
async def a_slow_answer(bench: Bench) -> None:
    """Slow is not wrong."""
    bench.remote.on_write.append(Trouble.SLOW)
    async with bench.opened() as adapter:
        done(await told(adapter.execute(bench.command("k-1"))))


@check
async def too_many_requests(bench: Bench) -> None:
    """429: nothing done, and the peer's own time is passed on."""
    bench.remote.on_write.append(Trouble.TOO_MANY)
    async with bench.opened() as adapter:
        result = await told(adapter.execute(bench.command("k-1")))
        expect(isinstance(result, RateLimited), f"{result!r} in place of RateLimited")
        after_s = getattr(result, "retry_after_s", None)
        expect(after_s == RETRY_AFTER_S, f"Retry-After {RETRY_AFTER_S} became {after_s}")
        done(await told(adapter.execute(bench.command("k-1"))))
    expect(bench.effects("k-1") == 1, "not once")


@check
async def unavailable(bench: Bench) -> None:
    """503: nothing done, safe to send again."""
    bench.remote.on_write.append(Trouble.UNAVAILABLE)
    async with bench.opened() as adapter:
        result = await told(adapter.execute(bench.command("k-1")))
        expect(isinstance(result, Unavailable), f"{result!r} in place of Unavailable")
        expect(getattr(result, "retry_after_s", None) == RETRY_AFTER_S, "Retry-After is lost")
        done(await told(adapter.execute(bench.command("k-1"))))
    expect(bench.effects("k-1") == 1, "not once")


@check
async def not_reached(bench: Bench) -> None:
    """Nobody listens: nothing done, safe to send again."""
    await bench.remote.stop()
    async with bench.opened() as adapter:
        result = await told(adapter.execute(bench.command("k-1")))
    expect(isinstance(result, Unavailable), f"{result!r} in place of Unavailable")


@check
async def bad_credentials(bench: Bench) -> None:
    """401, again and again: about the adapter, no fault of the command."""
    bench.remote.on_write.extend([Trouble.UNAUTHORIZED] * 5)
    bench.remote.on_read.extend([Trouble.UNAUTHORIZED] * 5)
    async with bench.opened() as adapter:
        result = await told(adapter.execute(bench.command("k-1")))
    fine = isinstance(result, Unauthorized | Misconfigured)
    expect(fine, f"{result!r} in place of Unauthorized")
    expect(bench.effects("k-1") == 0, "done all the same")


@check
async def trouble_while_asking(bench: Bench) -> None:
    """A question that goes wrong says nothing about the command: neither final nor NOT_FOUND."""
    async with bench.opened() as adapter:
        done(await told(adapter.execute(bench.command("k-1"))))
        for trouble in (
            Trouble.NEVER,
            Trouble.DROP_BEFORE,
            Trouble.HALF,
            Trouble.GARBAGE,
            Trouble.WRONG,
            Trouble.ERROR_AFTER,
            Trouble.TOO_MANY,
            Trouble.UNAVAILABLE,
        ):
            # Twice: a client may well repeat a question by itself when a connection goes.
            bench.remote.on_read.extend([trouble] * 2)
            found = await asked(adapter.query("k-1"))
            bench.remote.on_read.clear()
            unknown = is_unknown(found) or isinstance(found, AdapterError)
            expect(unknown and refusal_of(found) is None, f"{trouble}: {found!r}")
        done(await asked(adapter.query("k-1")))
    expect(bench.effects("k-1") == 1, "a question did something")


@check
async def no_error_leads_to_a_second_effect(bench: Bench) -> None:
    """Whatever happens, whoever follows the errors' own advice has one effect."""
    commits = (Trouble.DROP_AFTER, Trouble.ERROR_AFTER, Trouble.GARBAGE, Trouble.LATE)
    plans = [(a, b) for a in commits for b in (Trouble.NEVER, Trouble.UNAVAILABLE)]
    async with bench.opened() as adapter:
        for number, plan in enumerate(plans):
            key = f"k-{number}"
            bench.remote.on_write.clear()
            bench.remote.on_write.extend(plan)
            await _follow(bench, key, adapter)
            expect(bench.effects(key) == 1, f"{plan}: {bench.effects(key)} effects")


async def _follow(bench: Bench, key: str, adapter: object) -> None:
    """What the delivery does: tell, ask after doubt, tell again only when it is known not to be."""
    tell = True
    for _ in range(8):
        call = adapter.execute(bench.command(key)) if tell else adapter.query(key)  # type: ignore[attr-defined]
        result = await asked(call)
        if isinstance(result, Outcome) and result.status is Status.DONE:
            return
        if result is NOT_FOUND:
            tell = True
        elif isinstance(result, AdapterError) and result.retry is RetryClass.LATER:
            continue
        else:
            tell = False
    raise AssertionError("it never came to an end")


@check
async def check_finds_the_peer(bench: Bench) -> None:
    """Ok, and without writing anything."""
    async with bench.opened() as adapter:
        result = await adapter.check()
    expect(result.status is CheckStatus.OK, f"{result}")
    expect(result.latency_us > 0, "no latency")
    expect(not bench.remote.effects, "check did something")
    written = [seen for seen in bench.remote.requests if seen.method not in ("GET", "HEAD")]
    expect(not written, f"check wrote: {written}")


@check
async def check_tells_bad_credentials(bench: Bench) -> None:
    """Raises nothing for what it finds."""
    bench.remote.on_read.extend([Trouble.UNAUTHORIZED] * 3)
    async with bench.opened() as adapter:
        result = await adapter.check()
    expect(result.status is CheckStatus.AUTH, f"{result}")


@check
async def check_tells_that_nobody_is_there(bench: Bench) -> None:
    """Raises nothing for what it finds."""
    await bench.remote.stop()
    async with bench.opened() as adapter:
        result = await adapter.check()
    expect(result.status is CheckStatus.UNREACHABLE, f"{result}")


@check
async def check_is_not_fooled_by_garbage(bench: Bench) -> None:
    """Somebody answers, but not this interface."""
    bench.remote.on_read.append(Trouble.GARBAGE)
    async with bench.opened() as adapter:
        result = await adapter.check()
    expect(result.status is not CheckStatus.OK, "garbage is ok")
