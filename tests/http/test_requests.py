"""What a request may look like: every wrong part is named at once, nothing odd gets through."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from gateway.clock import now_us
from gateway.errors import Uncertain
from gateway.http.catalogue import all_endpoints
from gateway.http.serving import Server
from gateway.wallet.lending import Lending
from gateway.wallet.merge_runner import PAUSE_US, MergeRunner
from gateway.wallet.merges import Merges
from gateway.wallet.money import Money
from gateway.wallet.requests import RequestBook
from tests.http.town import Town

PAYMENT = {"amount_minor": 1, "purpose": 0}


async def _post(town: Town, body: Any) -> Any:
    account = await town.city.account(100)
    return await town.city("POST", f"/v1/accounts/{account}/payments", body)


ROWS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"amount_minor": 1.0}, [("/amount_minor", "type")]),
    ({"amount_minor": True}, [("/amount_minor", "type")]),
    ({"amount_minor": "1"}, [("/amount_minor", "type")]),
    ({"amount_minor": None}, [("/amount_minor", "type")]),
    ({"amount_minor": 0}, [("/amount_minor", "minimum")]),
    ({"amount_minor": -5}, [("/amount_minor", "minimum")]),
    ({"amount_minor": 2**53 + 1}, [("/amount_minor", "maximum")]),
    ({"amount_minor": 10**400}, [("/amount_minor", "maximum")]),
    ({"purpose": 32}, [("/purpose", "maximum")]),
    ({"note": "x" * 65}, [("/note", "maxLength")]),
    ({"note": "a\nb"}, [("/note", "pattern")]),
    ({"reference": ""}, [("/reference", "minLength")]),
    ({"who/what~": 1}, [("/who~1what~0", "additionalProperties")]),
    (
        {"amount_minor": 0, "purpose": "x", "more": 1},
        [("/amount_minor", "minimum"), ("/purpose", "type"), ("/more", "additionalProperties")],
    ),
]


@pytest.mark.parametrize(("change", "faults"), ROWS)
async def test_each_fault_is_named_with_its_place(
    town: Town, change: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    said = await _post(town, PAYMENT | change)
    assert (said.status, said.code) == (422, "API_INVALID")
    assert [(one["pointer"], one["rule"]) for one in said.body["faults"]] == faults
    assert all(one["part"] == "body" for one in said.body["faults"])


async def test_what_is_missing_is_named_too(town: Town) -> None:
    said = await _post(town, {})
    assert {(one["pointer"], one["rule"]) for one in said.body["faults"]} == {
        ("/amount_minor", "required"),
        ("/purpose", "required"),
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"amount_minor": 1, "amount_minor": 2, "purpose": 0}',
        b'{"amount_minor": NaN, "purpose": 0}',
        b'{"amount_minor": 1, "purpose": 0, "note": "\\ud800"}',
        b'{"amount_minor": 1, "purpose": 0, "note": "\\u0000"}',
        b"[" * 50_000,
    ],
)
async def test_what_is_not_the_json_we_take_is_malformed(town: Town, data: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    said = await town.city("POST", "/v1/accounts/1/payments", data=data, headers=headers)
    assert (said.status, said.code) == (400, "API_MALFORMED")


async def test_a_list_or_text_is_no_object(town: Town) -> None:
    for body in ([], "text", 7):
        said = await _post(town, body)
        assert (said.status, said.body["faults"][0]["rule"]) == (422, "type")


async def test_paths_methods_types_and_sizes(town: Town) -> None:
    city = town.city
    assert (await city("GET", "/v1/nothing")).code == "API_NOT_FOUND"
    for odd in ("0", "-1", "01", "1.0", "x", str(2**54), "%00", "1%2F2"):
        assert (await city("GET", f"/v1/accounts/{odd}")).status == 404
    said = await city("DELETE", "/v1/accounts")
    assert (said.status, said.code, said.headers["Allow"]) == (405, "API_METHOD", "GET, POST")
    said = await city("POST", "/v1/accounts", data=b"{}", headers={"Content-Type": "text/plain"})
    assert (said.status, said.code) == (415, "API_MEDIA_TYPE")
    big = b'{"note": "' + b"x" * town.config.api.body_max_bytes + b'"}'
    headers = {"Content-Type": "application/json"}
    said = await city("POST", "/v1/accounts", data=big, headers=headers)
    assert (said.status, said.code) == (413, "API_TOO_LARGE")


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["/limit"]),
        ("limit=101", ["/limit"]),
        ("limit=x", ["/limit"]),
        ("limit=1&limit=2", ["/limit"]),
        ("starting_after=!!", ["/starting_after"]),
        ("starting_after=eHg6MQ", ["/starting_after"]),
        ("limits=1&limit=+1", ["/limits", "/limit"]),
    ],
)
async def test_queries_are_read_as_strictly(town: Town, query: str, pointers: list[str]) -> None:
    said = await town.city("GET", f"/v1/accounts?{query}")
    assert (said.status, said.code) == (422, "API_INVALID")
    assert [one["pointer"] for one in said.body["faults"]] == pointers
    assert {one["part"] for one in said.body["faults"]} == {"query"}


async def test_every_answer_carries_the_headers_browsers_heed(town: Town) -> None:
    for path in ("/v1/accounts", "/docs", "/docs/style.css", "/livez", "/nothing"):
        said = await town.anybody("GET", path)
        assert said.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in said.headers["Content-Security-Policy"]
        assert said.headers["Server"] == "faregate"
        assert said.headers["X-Request-Id"]


async def test_the_document_and_the_page_are_served_without_a_key(town: Town) -> None:
    document = await town.anybody.ok("GET", "/v1/openapi.json")
    assert document["openapi"] == "3.1.0"
    assert "/v1/accounts/{account_id}" in document["paths"]
    page = await town.anybody("GET", "/docs")
    assert page.status == 200
    assert "<script" not in page.body
    # Examples may name an address; the page may not load anything from one.
    assert not re.search(r"(src|href|action|srcset)=.?https?:|url\(|@import", page.body)
    for path in document["paths"]:
        assert path in page.body


async def test_a_slow_handler_is_a_time_out_whose_outcome_can_be_asked_for(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    account = await town.city.account(1)
    with monkeypatch.context() as patched:
        patched.setattr(Money, "pay", never)
        patched.setattr(Server, "timeout_s", 0.05)
        said = await town.city("POST", f"/v1/accounts/{account}/payments", PAYMENT, key="slow")
    assert (said.status, said.code, said.body["retry"]) == (504, "API_TIMEOUT", "unknown")
    state = await town.city.ok("GET", "/v1/requests/slow")
    assert (state["state"], state["status"]) == ("in_flight", 0), "somebody may still be at it"
    forward(town, monkeypatch)
    state = await town.city.ok("GET", "/v1/requests/slow")
    assert state["state"] == "none"


def forward(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """To when nobody can be at work on a request any more."""
    requests = town.api.services.get(RequestBook)
    config = town.config
    over_us = round((config.api.timeout_s + config.control.timeout_s) * 1_000_000)
    monkeypatch.setattr(requests, "_clock", lambda: now_us() + over_us)


async def test_a_merge_that_goes_on_is_in_flight_until_it_is_done(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = await town.city.account(700), await town.city.account()
    order = {"from_account_id": old, "to_account_id": new}

    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    with monkeypatch.context() as patched:
        patched.setattr(MergeRunner, "_step", never)
        patched.setattr(Server, "timeout_s", 0.5)
        said = await town.city("POST", "/v1/merges", order, key="m")
    assert said.code == "API_TIMEOUT"
    forward(town, monkeypatch)
    assert (await town.city.ok("GET", "/v1/requests/m"))["state"] == "in_flight"
    runner = town.api.services.get(Merges)._runner
    monkeypatch.setattr(runner, "clock", lambda: now_us() + 2 * PAUSE_US)
    assert await runner.run_due() == 1
    state = await town.city.ok("GET", "/v1/requests/m")
    assert (state["state"], state["code"]) == ("done", "")
    assert await town.city.balance(new) == 700


async def test_a_merge_that_failed_was_refused(town: Town) -> None:
    old, new = await town.city.account(700), await town.city.account()
    order = {"from_account_id": old, "to_account_id": new, "tokens": ["33" * 16]}
    await town.city.ok("POST", "/v1/merges", order, key="m")
    state = await town.city.ok("GET", "/v1/requests/m")
    assert (state["state"], state["code"]) == ("refused", "unknown_medium")


def test_what_is_done_in_steps_is_known_by_its_endpoint(town: Town) -> None:
    names = {endpoint.name for endpoint in all_endpoints()}
    assert set(town.api.services.get(RequestBook)._steps) <= names


async def test_a_limit_that_is_not_carried_out_is_in_flight(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/credit-line"
    await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 2})
    await town.city.ok("POST", path, {"policy": "ride-first", "score": 650})
    desk = town.api.services.get(Lending)._desk

    def lose(*_: object, **__: object) -> None:
        raise Uncertain("UNCERTAIN_OUTCOME", "no answer")

    with monkeypatch.context() as patched:
        patched.setattr(desk, "_send_limit", lose)
        said = await town.city("POST", f"{path}/score", {"score": 0}, key="s")
    assert said.status == 504
    forward(town, monkeypatch)
    assert (await town.city.ok("GET", "/v1/requests/s"))["state"] == "in_flight"
    again = await town.city.ok("POST", f"{path}/score", {"score": 0}, key="s")
    assert again["limit_minor"] == 0
    assert (await town.city.ok("GET", "/v1/requests/s"))["state"] == "done"


async def test_a_plan_whose_answer_was_lost_is_in_flight_until_it_is_open(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}"
    await town.city.ok("POST", f"{path}/tier", {"tier": 2})
    line = {"policy": "ride-first", "score": 650}
    drawn = (await town.city.ok("POST", f"{path}/credit-line", line))["limit_minor"]
    await town.city.ok("POST", f"{path}/payments", {"amount_minor": drawn, "purpose": 0})
    desk = town.api.services.get(Lending)._desk

    def lose(*_: object, **__: object) -> None:
        raise Uncertain("UNCERTAIN_OUTCOME", "no answer")

    plan = {"amount_minor": drawn, "instalments": 3}
    with monkeypatch.context() as patched:
        patched.setattr(desk, "push_plan", lose)
        said = await town.city("POST", f"{path}/credit-line/plans", plan, key="p")
    assert said.status == 504
    forward(town, monkeypatch)
    assert (await town.city.ok("GET", "/v1/requests/p"))["state"] == "in_flight"
    await town.city.ok("POST", f"{path}/credit-line/plans", plan, key="p")
    assert (await town.city.ok("GET", "/v1/requests/p"))["state"] == "done"
