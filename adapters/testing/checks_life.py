"""Checks of an adapter's life: settings, cancellation at every await, close, leaks, privacy."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from adapters.contract import API_LEVEL, AdapterInfo, NotFound, Outcome
from adapters.testing.bench import PATIENCE_S, Bench
from adapters.testing.kit import asked, check, done, expect, is_unknown, told
from adapters.testing.remote import Trouble

STEPS_MAX = 60
"""Turns of the loop after which a call is cancelled, one by one."""


@check
async def it_says_what_it_is(bench: Bench) -> None:
    """Name, version, level, and at least something that it can do."""
    info = bench.make_adapter().info
    expect(isinstance(info, AdapterInfo), "info is no AdapterInfo")
    expect(info.name and info.version, "no name or version")
    expect(info.api_level <= API_LEVEL, f"level {info.api_level}, the core has {API_LEVEL}")
    expect(info.capabilities, "it can do nothing")
    expect(info.max_in_flight >= 1, "max_in_flight is below 1")


@check
async def good_settings_are_taken(bench: Bench) -> None:
    """And name their peer: the same settings twice are one peer."""
    model = bench.make_adapter().config_model
    one, other = (model.model_validate(bench.good_settings()) for _ in range(2))
    expect(one.unique_key() and one.unique_key() == other.unique_key(), "unique_key is not stable")


@check
async def bad_settings_are_refused(bench: Bench) -> None:
    """Unknown names too; the object is frozen; there is a schema for editors."""
    model = bench.make_adapter().config_model
    bad = [*bench.bad_settings(), bench.good_settings() | {"no_such_setting": 1}]
    for settings in bad:
        try:
            model.model_validate(settings)
        except ValidationError:
            continue
        raise AssertionError(f"taken: {settings}")
    expect(model.model_config.get("frozen"), "settings can be changed later")
    inline = [name for name, one in model.model_fields.items() if "Secret" in str(one.annotation)]
    expect(not inline, f"secrets as values: {inline}")
    properties = model.model_json_schema()["properties"]
    expect(all("description" in one for one in properties.values()), "a setting without a text")


@check
async def health_asks_nobody(bench: Bench) -> None:
    """Closed, open, after success, after trouble: local words only."""
    adapter = bench.make_adapter()
    expect(not adapter.health().is_open, "open before open")
    await adapter.open(bench.context())
    expect(adapter.health().is_open, "not open after open")
    asked_before = len(bench.remote.requests)
    done(await told(adapter.execute(bench.command("k-1"))))
    seen = len(bench.remote.requests)
    expect(adapter.health().last_ok_us > 0, "no time of the last success")
    bench.remote.on_write.append(Trouble.UNAVAILABLE)
    await told(adapter.execute(bench.command("k-2")))
    expect(adapter.health().last_error, "no word about the last error")
    await adapter.close()
    expect(not adapter.health().is_open, "open after close")
    expect(asked_before == 0, "open sent business traffic")
    expect(len(bench.remote.requests) == seen + 1, "health asked the peer")


@check
async def cancelled_at_every_await(bench: Bench) -> None:
    """It ends at once, asking tells the truth, and the adapter works on."""
    async with bench.opened() as adapter:
        done(await told(adapter.execute(bench.command("k-warm"))))
        for steps in range(STEPS_MAX):
            key = f"k-{steps}"
            task = asyncio.ensure_future(adapter.execute(bench.command(key)))
            for _ in range(steps):
                await asyncio.sleep(0)
            if await _cancel(task):
                found = await asked(adapter.query(key))
                expect(not is_unknown(found), f"after {steps} steps: {found!r}")
                known = not isinstance(found, NotFound)
                expect(bench.effects(key) == int(known), f"after {steps} steps: {found!r}")
        done(await told(adapter.execute(bench.command("k-last"))))


async def _cancel(task: asyncio.Future[Outcome]) -> bool:
    """Whether it was cancelled (it may have ended before)."""
    task.cancel()
    finished, _ = await asyncio.wait([task], timeout=PATIENCE_S)
    expect(finished, "a cancelled call does not end")
    return task.cancelled()


@check
async def cancelled_while_it_waits(bench: Bench) -> None:
    """The long wait for an answer, too."""
    async with bench.opened() as adapter:
        bench.remote.on_write.append(Trouble.NEVER)
        task = asyncio.ensure_future(adapter.execute(bench.command("k-1")))
        while not bench.remote.requests and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        expect(await _cancel(task), "it was not cancelled")
        done(await told(adapter.execute(bench.command("k-1"))))
    expect(bench.effects("k-1") == 1, "not once")


@check
async def close_twice_and_before_open(bench: Bench) -> None:
    """Idempotent, and harmless where nothing is open."""
    adapter = bench.make_adapter()
    await adapter.close()
    await adapter.open(bench.context())
    for _ in range(3):
        await adapter.close()


@check
async def close_with_a_call_under_way(bench: Bench) -> None:
    """Close comes to an end, and so does the call."""
    adapter = bench.make_adapter()
    await adapter.open(bench.context())
    bench.remote.on_write.append(Trouble.NEVER)
    call = asyncio.ensure_future(told(adapter.execute(bench.command("k-1"))))
    while not bench.remote.requests and not call.done():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    async with asyncio.timeout(PATIENCE_S):
        await adapter.close()
        result = await call
    expect(is_unknown(result), f"{result!r} in place of uncertain")


@check
async def nothing_is_left_behind(bench: Bench) -> None:
    """No task, no socket, after success and trouble."""
    tasks, sockets, kept = asyncio.all_tasks(), _sockets(), []
    for trouble in (Trouble.NONE, Trouble.NEVER, Trouble.DROP_AFTER, Trouble.GARBAGE):
        bench.remote.on_write.append(trouble)
        async with bench.opened() as adapter:
            await told(adapter.execute(bench.command(f"k-{trouble}")))
            await adapter.check()
            kept.append(adapter)  # or the collector would tidy up for it
    for _ in range(100):
        if not bench.remote.connections:
            break
        await asyncio.sleep(0.01)
    expect(not bench.remote.connections, f"{bench.remote.connections} connections at the peer")
    await bench.remote.stop()
    await asyncio.sleep(0.05)
    left = asyncio.all_tasks() - tasks
    expect(not left, f"tasks: {left}")
    expect(_sockets() <= sockets, f"{_sockets() - sockets} sockets")


def _sockets() -> int:
    """Sockets of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return count


@check
async def personal_words_stay_out_of_logs_and_errors(bench: Bench) -> None:
    """Of every logger at its most talkative, the context's log, errors, outcomes."""
    personal = bench.personal("k-1")
    said: list[str] = []
    with _listening(said):
        for trouble in (Trouble.NONE, Trouble.GARBAGE, Trouble.WRONG, Trouble.ERROR_AFTER):
            bench.remote.on_write.append(trouble)
            async with bench.opened() as adapter:
                result = await told(adapter.execute(personal.command))
                said += [repr(result), str(result), repr(adapter.health())]
    said += [f"{event} {fields}" for event, fields in bench.logged]
    for word in personal.words:
        where = next((line for line in said if word in line), None)
        expect(where is None, f"{word!r} in {where!r}")


class _Listener(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(f"{record.getMessage()} {record.__dict__}")


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    root, listener = logging.getLogger(), _Listener(said)
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(listener)
