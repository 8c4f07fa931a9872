"""Lists in pages: forwards and back again, whatever is added in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.http.catalogue import all_endpoints
from gateway.http.cursors import make_cursor
from gateway.http.endpoint import Page
from gateway.shapes import hints_of
from gateway.wallet.stores.webhooks import HookRow, WebhookStore
from gateway.windows import Window, within
from tests.http.town import SYSTEM, Caller, Town


async def walk(caller: Caller, path: str, how: str, cursor: str | None = None) -> list[list[int]]:
    """Numbers of the accounts of each page, one way, to the end."""
    name = {"starting_after": "next_cursor", "ending_before": "previous_cursor"}[how]
    pages = []
    while True:
        page = await caller.ok("GET", path + (f"&{how}={cursor}" if cursor else ""))
        pages.append([one["account_id"] for one in page["data"]])
        if not page["has_more"]:
            return pages
        cursor = page[name]


async def test_a_list_is_read_forwards_and_back(town: Town) -> None:
    made = [await town.city.account() for _ in range(5)]
    path = "/v1/accounts?limit=2"
    assert await walk(town.city, path, "starting_after") == [made[:2], made[2:4], made[4:]]
    last = make_cursor("acc", made[4])
    assert await walk(town.city, path, "ending_before", last) == [made[2:4], made[:2]]
    page = await town.city.ok("GET", f"{path}&ending_before={last}")
    onward = await town.city.ok("GET", f"{path}&starting_after={page['next_cursor']}")
    assert [one["account_id"] for one in onward["data"]] == made[4:]
    first = make_cursor("acc", made[0])
    nothing = await town.city.ok("GET", f"{path}&ending_before={first}")
    assert nothing == {"data": [], "has_more": False, "next_cursor": None, "previous_cursor": None}


async def test_a_page_stays_what_it_is_while_things_are_added(town: Town) -> None:
    made = [await town.city.account() for _ in range(4)]
    first = await town.city.ok("GET", "/v1/accounts?limit=2")
    second = await town.city.ok(
        "GET", f"/v1/accounts?limit=2&starting_after={first['next_cursor']}"
    )
    assert second["next_cursor"] is None
    made += [await town.city.account() for _ in range(2)]
    back = f"/v1/accounts?limit=2&ending_before={second['previous_cursor']}"
    assert (await town.city.ok("GET", back))["data"] == first["data"]
    again = f"/v1/accounts?limit=2&starting_after={first['next_cursor']}"
    more = await town.city.ok("GET", again)
    assert (more["data"], more["has_more"]) == (second["data"], True)


async def test_a_tenants_and_a_riders_lists_are_read_back_as_well(town: Town) -> None:
    mine = [await town.city.account(tenant_id="school") for _ in range(2)]
    await town.city.account()
    mine.append(await town.city.account(tenant_id="school"))
    last = make_cursor("acc", mine[2])
    assert await walk(town.school, "/v1/accounts?limit=1", "ending_before", last) == [
        [mine[1]],
        [mine[0]],
    ]


async def test_the_newest_first_is_read_back_to_what_came_meanwhile(town: Town) -> None:
    store = WebhookStore(town.access.database)
    hook = HookRow("w", "city", "https://a.cn", "", b"", b"", 0, "active", "", 0, 0, 1, 1)
    await asyncio.to_thread(store.add, hook, SYSTEM)

    async def send(seq: int) -> None:
        await asyncio.to_thread(store.enqueue, "w", [(f"e{seq}", "{}")], (seq, 0), 1)

    for seq in range(1, 6):
        await send(seq)
    path = "/v1/webhooks/w/deliveries?limit=2"

    async def ids(more: str = "") -> tuple[list[int], dict[str, Any]]:
        page = await town.city.ok("GET", path + more)
        return [one["delivery_id"] for one in page["data"]], page

    newest, first = await ids()
    older, second = await ids(f"&starting_after={first['next_cursor']}")
    assert (newest, older) == ([5, 4], [3, 2])
    await send(6)
    assert (await ids(f"&ending_before={second['previous_cursor']}"))[0] == newest
    assert (await ids(f"&ending_before={first['previous_cursor']}"))[0] == [6]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("starting_after=nonsense", "/starting_after"),
        (f"ending_before={make_cursor('ntc', 1)}", "/ending_before"),
        (f"starting_after={make_cursor('acc', 0)}", "/starting_after"),
        (f"ending_before={make_cursor('acc', 10**19 - 1)}", "/ending_before"),
        (
            f"starting_after={make_cursor('acc', 1)}&ending_before={make_cursor('acc', 9)}",
            "/ending_before",
        ),
    ],
)
async def test_no_cursor_of_this_list(town: Town, query: str, pointer: str) -> None:
    said = await town.city("GET", f"/v1/accounts?{query}")
    assert (said.status, said.body["faults"][0]["pointer"]) == (422, pointer)


def test_every_list_in_pages_says_the_same() -> None:
    for endpoint in all_endpoints():
        if endpoint.query is not None and issubclass(endpoint.query, Page):
            said = set(hints_of(endpoint.answer))
            assert said >= {"data", "has_more", "next_cursor", "previous_cursor"}, endpoint.path


def test_a_window_over_numbers() -> None:
    numbers = [2, 4, 6, 8]
    assert within(numbers, Window(2)) == [2, 4, 6]
    assert within(numbers, Window(2, after=4)) == [6, 8]
    assert within(numbers, Window(2, before=8)) == [2, 4, 6]
    assert within(numbers, Window(1, before=2)) == []
