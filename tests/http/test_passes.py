"""Passes and concessions over HTTP: sold, shown, taken off; given back for only as two agree."""

from __future__ import annotations

from gateway.clock import now_us
from tests.http.town import Town

DAY_US = 86_400_000_000


async def test_a_pass_is_sold_shown_and_taken_off(town: Town) -> None:
    account = await town.city.account(1000)
    path, until_us = f"/v1/accounts/{account}", now_us() + 30 * DAY_US
    order = {"pass_id": 7, "price_minor": 900, "until_us": until_us, "rides": 20}
    sold = await town.city.ok("POST", f"{path}/passes", order, key="sold")
    assert (sold["op"], sold["balance_minor"]) == ("pass_add", 100)
    assert (await town.city.ok("POST", f"{path}/passes", order, key="sold")) == sold
    assert (await town.city("POST", f"{path}/passes", order)).code == "insufficient_balance"
    concession = {"rider_category": 2, "from_us": 5, "until_us": until_us}
    await town.city.ok("POST", f"{path}/concessions", concession)
    assert await town.city.ok("GET", f"{path}/entitlements") == {
        "account_id": account,
        "passes": [{"pass_id": 7, "from_us": 0, "until_us": until_us, "rides_left": 20}],
        "concessions": [concession],
    }
    back = await town.agreed(f"{path}/passes/7/remove", {"refund_minor": 450})
    assert (back.status, back.body["balance_minor"]) == (200, 550)
    await town.city.ok("POST", f"{path}/concessions/2/remove", {})
    gone = await town.city("POST", f"{path}/concessions/2/remove", {})
    assert (gone.status, gone.code) == (409, "nothing_to_reverse")
    left = await town.city.ok("GET", f"{path}/entitlements")
    assert (left["passes"], left["concessions"]) == ([], [])


async def test_what_is_given_back_waits_for_somebody_else(town: Town) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/passes"
    await town.city.ok("POST", path, {"pass_id": 7})
    said = await town.city("POST", f"{path}/7/remove", {"refund_minor": 30_000})
    assert (said.status, said.code) == (409, "APPROVAL_NEEDED")
    assert await town.city.balance(account) == 0
    shown = await town.city.ok("GET", f"/v1/accounts/{account}/entitlements")
    assert len(shown["passes"]) == 1


async def test_an_end_before_the_beginning_is_refused(town: Town) -> None:
    account = await town.city.account()
    wrong = {"rider_category": 2, "from_us": 9, "until_us": 9}
    said = await town.city("POST", f"/v1/accounts/{account}/concessions", wrong)
    assert (said.status, said.code) == (422, "COMMAND_BAD_ARGUMENT")
    pass_id = {"pass_id": 7, "from_us": 9, "until_us": 8}
    said = await town.city("POST", f"/v1/accounts/{account}/passes", pass_id)
    assert (said.status, said.code) == (422, "COMMAND_BAD_ARGUMENT")
