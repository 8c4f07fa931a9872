"""Webhooks against a real receiver: signed, in order, again after failures, never to addresses
inside, switched off after long failure.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from gateway.clock import now_us
from gateway.registry.audit import iter_events
from gateway.registry.scopes import Scope, TenantKind
from gateway.wallet import webhook_job
from gateway.wallet.events import Events
from gateway.wallet.own import Ownerships
from gateway.wallet.sealing import Sealer
from gateway.wallet.signing import verify
from gateway.wallet.stores.accounts import AccountStore
from gateway.wallet.stores.webhooks import WebhookStore
from gateway.wallet.webhook_job import PAUSES_S, HookSettings, WebhookJob, pause_us
from gateway.wallet.webhook_sender import Forbidden, WebhookSender, check_address
from gateway.wallet.webhooks import Webhooks
from tests.http.town import SYSTEM, Town

DAY_US = 86_400_000_000


class Receiver:
    """Somebody's server."""

    def __init__(self) -> None:
        self.status = 204
        self.headers: dict[str, str] = {}
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.hanging = asyncio.Event()

    async def hang(self, request: web.Request) -> web.Response:
        """Say nothing until the test is over."""
        await self.hanging.wait()
        return web.Response(status=204)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers=self.headers)


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    app.router.add_post("/slow", made.hang)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield made, f"http://{host}:{port}/hook"
    made.hanging.set()
    await runner.cleanup()


class Post:
    """The job with a clock of its own."""

    def __init__(self, town: Town, *, allow_private: bool = True) -> None:
        self.now_us = now_us()
        self.store = WebhookStore(town.access.database)
        services = town.api.services
        self.events = services.get(Events)
        sealer: Sealer = services.get(Webhooks)._sealer
        self.sender = WebhookSender(allow_private=allow_private, timeout_s=5)
        self.job = WebhookJob(
            self.store,
            lambda: self.events,
            sealer,
            self.sender,
            HookSettings(5 * DAY_US, poll_s=0.01),
            owners=Ownerships(AccountStore(town.access.database), town.access.tenants),
            clock=lambda: self.now_us,
        )

    def tries(self) -> int:
        said = self.job.report()
        return int(said["sent"] + said["failed"])

    async def work(self) -> int:
        """One round of every webhook; how many deliveries were tried."""
        before = self.tries()
        for webhook_id in await asyncio.to_thread(self.job.list_active):
            await self.job.serve(webhook_id, self.events)
        return self.tries() - before

    async def run_until(self, done: Callable[[], bool]) -> None:
        """The job as the worker runs it, until something has happened."""
        running = asyncio.create_task(self.job.run())
        async with asyncio.timeout(30):
            while not done():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _begin(town: Town, url: str, **more: Any) -> tuple[dict[str, Any], bytes]:
    hook = await town.city.ok("POST", "/v1/webhooks", {"url": url, "after": 0} | more, key="w")
    return hook, base64.b64decode(hook["secret"].removeprefix("whsec_"))


async def test_events_arrive_signed_and_in_order(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    server, url = receiver
    hook, secret = await _begin(town, url, events=["credit", "debit"])
    account = await town.city.account(100)
    pay = {"amount_minor": 1, "purpose": 0}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    await asyncio.to_thread(town.project)
    post = Post(town)
    assert await post.work() == 2
    assert await post.work() == 0
    await post.sender.close()
    for headers, body in server.got:
        assert verify(secret, headers, body, int(time.time()))
        assert not verify(secret, headers, body + b" ", int(time.time()))
        assert not verify(secret, headers, body, int(time.time()) + 400)
    assert [b'"type":"credit"' in server.got[0][1], b'"type":"debit"' in server.got[1][1]] == [
        True,
        True,
    ]
    path = f"/v1/webhooks/{hook['webhook_id']}/deliveries"
    sent = (await town.city.ok("GET", path))["data"]
    assert [one["state"] for one in sent] == ["done", "done"]


async def test_a_failing_receiver_gets_the_same_event_again_later_and_order_is_kept(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    server, url = receiver
    server.status = 500
    hook, _ = await _begin(town, url)
    await town.city.account(100)
    await asyncio.to_thread(town.project)
    post = Post(town)
    assert await post.work() == 1, "the second event waits behind the first"
    assert await post.work() == 0
    post.now_us += int(PAUSES_S[0] * 1.3 * 1_000_000)
    server.status = 200
    assert await post.work() == 2
    await post.sender.close()
    ids = [headers["webhook-id"] for headers, _ in server.got]
    assert ids[0] == ids[1] != ids[2]
    (shown,) = (await town.city.ok("GET", "/v1/webhooks"))["data"]
    assert (shown["state"], shown["webhook_id"]) == ("active", hook["webhook_id"])


async def test_long_failure_and_gone_switch_it_off_and_it_can_be_taken_up_again(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    server, url = receiver
    server.status = 503
    hook, _ = await _begin(town, url)
    await town.city.account()
    await asyncio.to_thread(town.project)
    post = Post(town)
    await post.work()
    post.now_us += 6 * DAY_US
    await post.work()
    (shown,) = (await town.city.ok("GET", "/v1/webhooks"))["data"]
    assert shown["state"] == "disabled"
    assert "503" in shown["reason"]
    post.now_us += 6 * DAY_US
    assert await post.work() == 0
    server.status = 200
    await town.city.ok("POST", f"/v1/webhooks/{hook['webhook_id']}/enable", {})
    assert await post.work() == 1
    await post.sender.close()


async def test_one_that_is_slow_or_cannot_be_read_holds_up_no_other(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    server, url = receiver
    bad = await town.city.ok("POST", "/v1/webhooks", {"url": url, "after": 0})
    await town.city.ok("POST", "/v1/webhooks", {"url": url.replace("hook", "slow"), "after": 0})
    await _begin(town, url)
    await town.city.account(100)
    await asyncio.to_thread(town.project)
    post = Post(town)
    foreign = Sealer([bytes(32)]).seal(bad["webhook_id"], b"secret")
    await asyncio.to_thread(lambda: post.store.change(bad["webhook_id"], sealed=foreign))
    await post.run_until(lambda: len(server.got) == 2 and post.job.report()["faults"] == 1)
    row = await asyncio.to_thread(post.store.find, bad["webhook_id"])
    assert row is not None
    assert row.failing_since_us == post.now_us, "it fails, and is switched off in the end"


async def test_what_was_delivered_is_forgotten_after_a_week(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    _, url = receiver
    hook, _ = await _begin(town, url)
    await town.city.account()
    await asyncio.to_thread(town.project)
    post = Post(town)
    assert await post.work() == 1
    path = f"/v1/webhooks/{hook['webhook_id']}/deliveries"
    assert len((await town.city.ok("GET", path))["data"]) == 1
    post.now_us += 8 * DAY_US
    await post.run_until(lambda: post.job.report()["forgotten"] == 1)
    assert (await town.city.ok("GET", path))["data"] == []


async def test_no_more_than_so_many_wait_beside_the_ledger(
    town: Town, receiver: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = receiver
    monkeypatch.setattr(webhook_job, "WAITING_MAX", 2)
    monkeypatch.setattr(webhook_job, "BATCH", 2)
    server.status = 500
    hook, _ = await _begin(town, url)
    for _ in range(2):
        await town.city.account(100)
    await asyncio.to_thread(town.project)
    post = Post(town)
    for _ in range(3):
        await post.work()
    assert await asyncio.to_thread(post.store.count_waiting, hook["webhook_id"]) == 2
    server.status = 200
    post.now_us += 60_000_000
    await post.run_until(lambda: post.job.report()["sent"] == 4)
    ids = [headers["webhook-id"] for headers, _ in server.got]
    assert len(dict.fromkeys(ids)) == 4
    assert ids == sorted(ids, key=lambda one: int(one.removeprefix("evt_")))


async def test_a_closed_tenants_webhooks_are_switched_off(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    server, url = receiver
    made = await town.school.ok("POST", "/v1/webhooks", {"url": "https://example.org/", "after": 0})
    post = Post(town)
    await asyncio.to_thread(lambda: post.store.change(made["webhook_id"], url=url))
    account = await town.city.account(100)
    pay = {"amount_minor": 1, "purpose": 0, "merchant_id": town.merchant.merchant_id}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    await asyncio.to_thread(town.project)
    await asyncio.to_thread(town.access.tenants.close, SYSTEM, "school")
    assert await post.work() == 0
    assert server.got == []
    row = await asyncio.to_thread(post.store.find, made["webhook_id"])
    assert row is not None
    assert (row.state, row.reason) == ("disabled", "its tenant was closed")


async def test_whoever_has_events_sent_may_read_them_and_it_is_told(town: Town) -> None:
    blind = town.caller(TenantKind.CITY, frozenset({Scope.WEBHOOKS_WRITE}))
    url = {"url": "https://example.org/hook"}
    assert (await blind("POST", "/v1/webhooks", url)).status == 403
    made = await town.city.ok("POST", "/v1/webhooks", url)
    path = f"/v1/webhooks/{made['webhook_id']}"
    assert (await blind("POST", f"{path}/enable", {})).status == 403
    await town.city.ok("POST", f"{path}/rotate", {})
    assert (await blind("DELETE", path)).status == 204
    with town.access.database.reading() as connection:
        told = [one for one in iter_events(connection) if one.action.startswith("webhook.")]
    assert [one.action for one in told] == ["webhook.add", "webhook.rotate", "webhook.remove"]
    assert {one.subject for one in told} == {f"webhook:{made['webhook_id']}"}


async def test_what_owners_are_told_is_sent_too_behind_its_record(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    server, url = receiver
    order = {"reason": "look", "what": "debit"}
    before = await town.city.account()
    await town.city.ok("POST", f"/v1/accounts/{before}/freezes", order)
    names = ["freeze", "account.frozen"]
    later = {"url": url.replace("hook", "slow"), "events": names}
    await town.city.ok("POST", "/v1/webhooks", later)
    await _begin(town, url, events=names)
    account = await town.city.account(100)
    await town.city.ok("POST", f"/v1/accounts/{account}/freezes", order)
    await asyncio.to_thread(town.project)
    post = Post(town)
    (slow, fast) = await asyncio.to_thread(post.store.list_all)
    assert (slow.notice_cursor, fast.notice_cursor) == (1, 0), "from now on, and from the first"
    await post.job.serve(fast.webhook_id, post.events)
    said = [json.loads(body) for _, body in server.got]
    told = [(one["type"], one["data"]["account_id"]) for one in said]
    for one in (before, account):
        assert [kind for kind, account_id in told if account_id == one] == names
    assert said[-1]["data"]["notice"]["kind"] == "account_frozen"
    await post.sender.close()


async def test_redirects_are_not_followed(town: Town, receiver: tuple[Receiver, str]) -> None:
    server, url = receiver
    server.status, server.headers = 302, {"Location": url}
    await _begin(town, url)
    await town.city.account()
    await asyncio.to_thread(town.project)
    post = Post(town)
    await post.work()
    await post.sender.close()
    assert len(server.got) == 1


async def test_nothing_is_sent_inside(town: Town, receiver: tuple[Receiver, str]) -> None:
    server, url = receiver
    await _begin(town, url)
    await town.city.account()
    await asyncio.to_thread(town.project)
    post = Post(town, allow_private=False)
    await post.work()
    port = url.split(":")[2].split("/")[0]
    sent = await post.sender.send(f"http://localhost:{port}/hook", {}, b"")
    assert (sent.status, "not a public address" in sent.error) == (0, True)
    await post.sender.close()
    assert server.got == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
    ],
)
def test_addresses_inside_are_refused(address: str) -> None:
    with pytest.raises(Forbidden):
        check_address(address, allow_private=False)


def test_public_addresses_are_fine_and_pauses_grow() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"):
        check_address(address, allow_private=False)
    assert pause_us(1) < pause_us(2) < pause_us(3) < pause_us(len(PAUSES_S))


async def test_secrets_are_shown_once_rotate_and_stay_sealed(
    town: Town, receiver: tuple[Receiver, str]
) -> None:
    server, url = receiver
    hook, old = await _begin(town, url)
    repeated = await town.city("POST", "/v1/webhooks", {"url": url, "after": 0}, key="w")
    assert repeated.code == "API_KEY_SPENT", "the secret was shown, and nothing keeps it"
    (shown,) = (await town.city.ok("GET", "/v1/webhooks"))["data"]
    assert shown["secret"] == ""
    path = f"/v1/webhooks/{hook['webhook_id']}/rotate"
    rotated = await town.city.ok("POST", path, {}, key="r")
    assert (await town.city("POST", path, {}, key="r")).code == "API_KEY_SPENT"
    new = base64.b64decode(rotated["secret"].removeprefix("whsec_"))
    assert new != old
    await town.city.account()
    await asyncio.to_thread(town.project)
    post = Post(town)
    post.now_us = now_us()
    await post.work()
    await post.sender.close()
    headers, body = server.got[0]
    assert all(verify(one, headers, body, int(time.time())) for one in (old, new))
    row = await asyncio.to_thread(post.store.find, hook["webhook_id"])
    assert row is not None
    assert old not in row.sealed + row.old_sealed


async def test_webhooks_are_a_tenants_own_and_need_a_url_to_send_to(town: Town) -> None:
    made = await town.school.ok("POST", "/v1/webhooks", {"url": "https://example.org/hook"})
    path = f"/v1/webhooks/{made['webhook_id']}"
    assert (await town.city("DELETE", path)).status == 404
    assert (await town.school("DELETE", path)).status == 204
    assert (await town.school("DELETE", path)).status == 404
    for url in (
        "ftp://a.example/x",
        "https://u:p@a.example/",
        "https://a.example/#x",
        "https:///x",
    ):
        said = await town.city("POST", "/v1/webhooks", {"url": url})
        assert (said.status, said.body["faults"][0]["pointer"]) == (422, "/url")
