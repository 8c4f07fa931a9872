"""Commands that survive a lost connection, and work done in parallel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.control import frames
from gateway.errors import CommandError, Uncertain
from gateway.simulate.orders import Orders, in_parallel

Script = Callable[[int, frames.Request], frames.Reply | None]
"""(number of the request, request) -> its reply; None = cut the connection."""


@asynccontextmanager
async def scripted(path: Path, script: Script) -> AsyncIterator[list[frames.Request]]:
    """A control socket that does what the script says."""
    asked: list[frames.Request] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = frames.body_bytes(await reader.readexactly(frames.LENGTH_BYTES))
                asked.append(frames.decode_request(await reader.readexactly(size)))
                reply = script(len(asked), asked[-1])
                if reply is None:
                    break
                writer.write(frames.encode(reply))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield asked
    finally:
        server.close()


async def test_a_lost_answer_is_asked_for_under_the_same_id(tmp_path: Path) -> None:
    def script(number: int, request: frames.Request) -> frames.Reply | None:
        return None if number < 3 else frames.Reply(request.id, True, result={"balance_minor": 7})

    async with scripted(tmp_path / "s", script) as asked, Orders(tmp_path / "s") as orders:
        assert (await orders.demand("credit", {"amount_minor": 1}))["balance_minor"] == 7
    assert len({request.id for request in asked}) == 1
    assert len(asked) == 3


async def test_a_transient_refusal_is_tried_again_a_final_one_is_not(tmp_path: Path) -> None:
    def script(number: int, request: frames.Request) -> frames.Reply:
        if number == 1:
            return frames.Reply(request.id, False, code="busy", retry="safe")
        return frames.Reply(request.id, False, code="account_closed", detail="closed")

    async with scripted(tmp_path / "s", script) as asked, Orders(tmp_path / "s") as orders:
        with pytest.raises(CommandError) as caught:
            await orders.demand("credit")
    assert caught.value.code == "account_closed"
    assert len(asked) == 2


async def test_no_answer_is_an_unknown_outcome(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with scripted(path, lambda number, request: None), Orders(path, give_up_s=0.3) as orders:
        with pytest.raises(Uncertain):
            await orders.call("credit")


async def test_without_a_gateway_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        await Orders(tmp_path / "nowhere").__aenter__()
    assert caught.value.code == "COMMAND_NOT_SENT"


async def test_parallel_work_is_done_once_each() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        await asyncio.sleep(0)
        done.append(item)

    await in_parallel(range(100), work, workers=7)
    assert sorted(done) == list(range(100))


async def test_the_first_error_of_parallel_work_is_raised() -> None:
    async def work(item: int) -> None:
        await asyncio.sleep(0)
        if item == 3:
            raise CommandError("account_closed")

    with pytest.raises(CommandError):
        await in_parallel(range(10), work)
