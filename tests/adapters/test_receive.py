"""The listener for messages of peers: every answer it can give, and nothing else open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace

import aiohttp
import pytest

from adapters.funding.bank.bench import NOW_US, BankBench
from adapters.funding.bank.reference import build_reference
from adapters.funding.bank.simulator import Movement, signed, webhook
from gateway.config import WorkerConfig
from gateway.db import Database
from gateway.delivery.inbox import Inbox
from gateway.delivery.kinds import Configured
from gateway.delivery.receive import ReceiveJob
from gateway.errors import DatabaseError, EnvironmentFault

ONE = webhook(Movement("E-1", 5000, build_reference(1001)))


class Listener:
    """A job that listens, and somebody who posts."""

    def __init__(self, database: Database, bench: BankBench) -> None:
        self.bank = Configured("city-bank", "bank", bench.make_adapter())
        worker = WorkerConfig(inbound_port=0, inbound_max_bytes=2000)
        tools = SimpleNamespace(
            config=SimpleNamespace(worker=worker), registry=database, now_us=lambda: NOW_US
        )
        self.job = ReceiveJob(tools, {"city-bank": self.bank})
        self.inbox = Inbox(database)

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, path: str = "/inbound/city-bank"
    ) -> tuple[int, bytes]:
        url = f"http://127.0.0.1:{self.job.address[1]}{path}"
        sent = signed(body, NOW_US) if headers is None else headers
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=sent) as said,
        ):
            return said.status, await said.read()


@pytest.fixture
async def listener(database: Database) -> AsyncIterator[Listener]:
    bench = BankBench()
    made = Listener(database, bench)
    task = asyncio.create_task(made.job.run())
    async with asyncio.timeout(20):
        while not made.job.address[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    yield made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.dispose()


async def test_stored_then_acknowledged(listener: Listener) -> None:
    status, body = await listener.post(ONE)
    assert (status, json.loads(body)) == (200, {"result": "accepted"})
    assert listener.inbox.count("city-bank") == {"stored": 1}
    assert await listener.post(ONE) == (200, body)
    assert listener.job.report()["received"] == {"accepted": 2}


@pytest.mark.parametrize(
    ("body", "headers", "status", "result"),
    [
        (ONE, {}, 401, "refused"),
        (ONE.replace(b"5000", b"9000"), signed(ONE, NOW_US), 401, "refused"),
        (b"{}", None, 422, "refused"),
        (b"", None, 422, "refused"),
    ],
)
async def test_refused(
    listener: Listener, body: bytes, headers: dict[str, str] | None, status: int, result: str
) -> None:
    said, answer = await listener.post(body, headers)
    assert (said, json.loads(answer)) == (status, {"result": result})
    assert listener.inbox.count("city-bank") == {}


async def test_another_content_is_a_conflict(listener: Listener) -> None:
    await listener.post(ONE)
    assert (await listener.post(ONE.replace(b"5000", b"9000")))[0] == 422
    assert listener.inbox.count("city-bank") == {"stored": 1, "conflict": 1}


async def test_what_cannot_be_stored_is_to_come_again(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError(detail="disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Inbox, "take", fail)
        assert (await listener.post(ONE))[0] == 503
    assert (await listener.post(ONE))[0] == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/inbound/nobody", 404), ("/", 404), ("/inbound/", 404)]
)
async def test_nothing_else_is_there(listener: Listener, path: str, status: int) -> None:
    assert (await listener.post(ONE, path=path))[0] == status


async def test_too_long(listener: Listener) -> None:
    assert (await listener.post(b"x" * 3000))[0] == 413


async def test_a_port_in_use_is_told(listener: Listener, database: Database) -> None:
    worker = WorkerConfig(inbound_port=listener.job.address[1])
    tools = SimpleNamespace(
        config=SimpleNamespace(worker=worker), registry=database, now_us=lambda: NOW_US
    )
    with pytest.raises(EnvironmentFault) as refused:
        await ReceiveJob(tools, {"city-bank": listener.bank}).run()
    assert refused.value.code == "ENV_PORT_IN_USE"
