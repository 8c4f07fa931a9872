"""Merges: media and money go over, whatever stops in between is carried on, nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.clock import now_us, parse_operation_id
from gateway.errors import CommandError, Retry
from gateway.wallet.commands import Commands
from gateway.wallet.merges import PAUSE_US, Merges
from tests.http.town import Town
from tests.support.plane import Running

TOKENS = ["11" * 16, "22" * 16]


async def _two(town: Town) -> tuple[int, int]:
    old, new = await town.city.account(700), await town.city.account(50)
    for token in TOKENS:
        await town.city.ok("POST", f"/v1/accounts/{old}/media", {"token": token})
    return old, new


async def test_media_and_money_go_over_and_the_account_is_closed(
    town: Town, plane: Running
) -> None:
    old, new = await _two(town)
    order = {"from_account_id": old, "to_account_id": new, "tokens": TOKENS}
    made = await town.city.ok("POST", "/v1/merges", order, key="m")
    assert (made["state"], made["media_moved"], made["amount_minor"]) == ("done", 2, 700)
    assert await town.city.ok("POST", "/v1/merges", order, key="m") == made
    assert await town.city.ok("GET", f"/v1/merges/{made['merge_id']}") == made
    assert await town.city.balance(new) == 750
    shown = await town.city.ok("GET", f"/v1/accounts/{old}")
    assert (shown["balance_minor"], shown["status"]) == (0, ["closed"])
    for token in TOKENS:
        assert (await plane.call("medium_show", token=bytes.fromhex(token)))["account_id"] == new
    assert (await town.school("GET", f"/v1/merges/{made['merge_id']}")).status in {403, 404}


@pytest.mark.parametrize("broken", range(5))
async def test_whatever_stops_in_between_is_carried_on_once(
    town: Town, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    """Each command in turn fails after it was carried out: its answer is lost."""
    old, new = await _two(town)
    order = {"from_account_id": old, "to_account_id": new, "tokens": TOKENS}
    whole, left = Commands.do, [broken]

    async def losing(self: Commands, *args: Any, **more: Any) -> Any:
        done = await whole(self, *args, **more)
        left[0] -= 1
        if left[0] == -1:
            raise CommandError("COMMAND_NOT_SENT", retry=Retry.SAFE)
        return done

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "do", losing)
        made = await town.city.ok("POST", "/v1/merges", order, key="m")
    assert made["state"] == "running"
    runner = town.api.services.get(Merges)._runner
    assert await runner.run_due() == 0, "it waits a moment"
    later = now_us() + 2 * PAUSE_US
    monkeypatch.setattr(runner, "_clock", lambda: later)
    assert await runner.run_due() == 1
    done = await town.city.ok("GET", f"/v1/merges/{made['merge_id']}")
    assert (done["state"], done["amount_minor"]) == ("done", 700)
    assert await town.city.balance(new) == 750


async def test_money_that_cannot_go_in_goes_back(town: Town) -> None:
    old, new = await _two(town)
    freeze = {"reason": "risk", "what": "credit"}
    await town.city.ok("POST", f"/v1/accounts/{new}/freezes", freeze)
    order = {"from_account_id": old, "to_account_id": new}
    made = await town.city.ok("POST", "/v1/merges", order)
    assert (made["state"], made["reason"]) == ("failed", "account_frozen")
    assert await town.city.balance(old) == 700
    assert parse_operation_id(made["merge_id"])


async def test_an_account_with_a_hold_is_not_merged(town: Town) -> None:
    old, new = await _two(town)
    hold = {"amount_minor": 5, "purpose": 0, "expires_us": now_us() + 60_000_000}
    await town.city.ok("POST", f"/v1/accounts/{old}/holds", hold)
    made = await town.city.ok("POST", "/v1/merges", {"from_account_id": old, "to_account_id": new})
    assert made["state"] == "failed"
    assert await town.city.balance(old) == 700
