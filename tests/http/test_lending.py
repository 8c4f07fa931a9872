"""Credit lines over HTTP: by score and rule, drawn, paid back in instalments."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path
from typing import Any

import pytest

from fastpath.records import view_record
from fastpath.types import Item, Op
from gateway.clock import now_us
from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from gateway.control.client import ControlClient
from gateway.control.frames import Reply
from gateway.credit.policy import load_policy
from gateway.credit.tables import CREDIT_STATEMENTS
from gateway.errors import CommandError, Retry
from gateway.ledger.history import History
from gateway.registry.actors import Actor
from gateway.registry.approvals import Action
from gateway.resources import list_credit_policies
from gateway.wallet import eyes, lending, money, topups
from tests.http.conftest import FLAGS
from tests.http.town import Town

LINE = {"policy": "ride-first", "score": 650}


async def test_a_line_is_opened_once_drawn_and_split_into_instalments(town: Town) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/credit-line"
    assert (await town.city("GET", path)).code == "CREDIT_NOT_FOUND"
    await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 2})
    line = await town.city.ok("POST", path, LINE, key="l")
    assert line["limit_minor"] > 0
    assert await town.city.ok("POST", path, LINE, key="l") == line
    said = await town.city("POST", path, LINE | {"score": 690})
    assert (said.status, said.code) == (409, "CREDIT_EXISTS")
    drawn = line["limit_minor"]
    pay = {"amount_minor": drawn, "purpose": 0}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    said = await town.city("POST", f"/v1/accounts/{account}/payments", pay)
    assert (said.status, said.code) == (402, "insufficient_balance")
    plan = {"amount_minor": drawn, "instalments": 3}
    opened = await town.city.ok("POST", f"{path}/plans", plan, key="p")
    assert await town.city.ok("POST", f"{path}/plans", plan, key="p") == opened
    assert sum(part["amount_minor"] for part in opened["plans"][0]["left"]) == drawn
    said = await town.city("POST", f"{path}/plans", plan | {"instalments": 59})
    assert (said.status, said.code) == (422, "CREDIT_PLAN_TERMS")
    lower = await town.city.ok("POST", f"{path}/score", {"score": 0})
    assert lower["limit_minor"] == 0


async def test_no_rule_gives_credit_to_everybody(town: Town) -> None:
    account = await town.city.account()
    said = await town.city("POST", f"/v1/accounts/{account}/credit-line", LINE | {"score": 0})
    assert (said.status, said.code) == (409, "CREDIT_NOT_GRANTED")
    said = await town.school("POST", f"/v1/accounts/{account}/credit-line", LINE)
    assert (said.status, said.code) == (403, "AUTH_SCOPE")


async def test_every_shipped_policy_gives_its_best_line(town: Town) -> None:
    paths = list_credit_policies(town.config.credit).values()
    for policy in map(load_policy, paths):
        best = max(policy.limits, key=lambda rule: rule.limit_minor)
        account = await town.city.account(currency=policy.currency.number)
        await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": best.tier_from})
        order = {"policy": policy.policy_id, "score": best.score_from}
        line = await town.city.ok("POST", f"/v1/accounts/{account}/credit-line", order)
        assert line["limit_minor"] == best.limit_minor
        pay = {"amount_minor": best.limit_minor, "purpose": 0}
        await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
        plan = {"amount_minor": best.limit_minor, "instalments": max(policy.plan_counts)}
        await town.city.ok("POST", f"/v1/accounts/{account}/credit-line/plans", plan)


async def test_a_payment_of_twenty_thousand_is_no_slip_of_the_hand(town: Town) -> None:
    account = await town.city.account()
    limit = {"amount_minor": 2_000_000}
    said = await town.agreed(f"/v1/accounts/{account}/credit-limit", limit)
    assert said.status == 200
    hold = {"amount_minor": 2_000_000, "expires_us": now_us() + 60_000_000, "purpose": 2}
    held = await town.city.ok("POST", f"/v1/accounts/{account}/holds", hold)
    capture = {"amount_minor": 2_000_000, "final": True}
    path = f"/v1/accounts/{account}/holds/{held['hold_id']}/capture"
    assert (await town.city.ok("POST", path, capture))["balance_minor"] == -2_000_000
    pay = {"amount_minor": 5_000_001, "purpose": 0}
    said = await town.city("POST", f"/v1/accounts/{account}/payments", pay)
    assert (said.status, said.code) == (422, "COMMAND_CEILING")


async def test_a_score_sent_again_is_not_decided_again(town: Town) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/credit-line"
    await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 3})
    await town.city.ok("POST", path, LINE)
    first = await town.city.ok("POST", f"{path}/score", {"score": 800}, key="first")
    await town.city.ok("POST", f"{path}/score", {"score": 500}, key="second")
    again = await town.city.ok("POST", f"{path}/score", {"score": 800}, key="first")
    assert (again["limit_minor"], again["score"]) == (first["limit_minor"], 800)
    shown = await town.city.ok("GET", f"/v1/accounts/{account}")
    assert shown["credit_limit_minor"] == 5_000
    notes = await asyncio.to_thread(_notes_of_limits, town, account)
    assert [key for _, key in notes[-2:]] == ["first", "second"]
    assert all(":key:" in who for who, _ in notes)


def _notes_of_limits(town: Town, account: int) -> list[tuple[str, str]]:
    """Who set a limit of an account, and under which key."""
    town.project()
    found = []
    for row in History(town.ledger).events_after(0, 99, account_id=account):
        record = view_record(row.raw, row.position)
        if record.op == Op.SET_CREDIT_LIMIT:
            notes = {one.line: one.image for one in record.items if one.type == Item.NOTE}
            found.append((_text(notes[0]), _text(notes[3])))
    return found


def _text(image: bytes) -> str:
    return image.rstrip(b"\0").decode()


async def test_early_repayment_and_closing(town: Town) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/credit-line"
    await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 2})
    await town.city.ok("POST", path, LINE)
    pay = {"amount_minor": 40_000, "purpose": 0}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    plan = {"amount_minor": 40_000, "instalments": 3}
    await town.city.ok("POST", f"{path}/plans", plan)
    repay = f"{path}/plans/1/repayments"
    said = await town.city("POST", repay, {"amount_minor": 30_000})
    assert (said.status, said.code) == (422, "CREDIT_PLAN_AMOUNT")
    said = await town.city("POST", f"{path}/plans/9/repayments", {"amount_minor": 1})
    assert (said.status, said.code) == (404, "CREDIT_PLAN_NOT_FOUND")
    credit = {"amount_minor": 40_000, "reference": "till"}
    await town.city.ok("POST", f"/v1/accounts/{account}/credits", credit)
    for _ in range(2):
        made = await town.city.ok("POST", repay, {"amount_minor": 30_000}, key="early")
        assert sum(one["amount_minor"] for one in made["plans"][0]["left"]) == 10_000
    said = await town.city("POST", f"{path}/close", {})
    assert (said.status, said.code) == (409, "CREDIT_STATEMENT")
    await town.city.ok("POST", repay, {"amount_minor": 10_000})
    for _ in range(2):
        closed = await town.city.ok("POST", f"{path}/close", {"note": "wished"}, key="close")
        assert closed["state"] == "closed"
    assert (await town.city("GET", path)).code == "CREDIT_NOT_FOUND"
    assert await town.city.balance(account) == 0


async def test_a_lost_statement_is_given_up_by_two(town: Town) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/credit-line"
    await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 2})
    await town.city.ok("POST", path, LINE)
    pay = {"amount_minor": 300, "purpose": 0}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    lost = f"{path}/statements/2026-02/write-off"
    said = await town.city("POST", lost, {"note": "gone"})
    assert (said.status, said.code) == (409, "CREDIT_STATEMENT")
    await asyncio.to_thread(_add_lost_statement, town, account)
    given = await town.agreed(lost, {"note": "gone"})
    assert (given.status, given.body["statements"][0]["standing"]) == (200, "written_off")
    assert await town.city.balance(account) == 0


async def test_a_write_off_that_never_happened_is_agreed_to_anew_when_it_is_more(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/credit-line"
    await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 2})
    await town.city.ok("POST", path, LINE)
    pay = {"amount_minor": 100, "purpose": 0}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    await asyncio.to_thread(_add_lost_statement, town, account)
    lost, body = f"{path}/statements/2026-02/write-off", {"note": "gone"}
    whole = ControlClient.exchange

    def unheard(self: ControlClient, op: str, *args: Any, **more: Any) -> Reply:
        if op == "write_off":
            raise CommandError("COMMAND_NOT_SENT", retry=Retry.SAFE)
        return whole(self, op, *args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(ControlClient, "exchange", unheard)
        asked = await town.city("POST", lost, body, key="w")
        other = Actor.system("somebody-else")
        await asyncio.to_thread(town.access.approvals.approve, other, asked.body["approval_id"])
        assert (await town.city("POST", lost, body, key="w")).code == "COMMAND_NOT_SENT"
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay | {"amount_minor": 150})
    said = await town.city("POST", lost, body, key="w")
    assert said.code == "CREDIT_ERROR"
    assert await town.city.balance(account) == -250
    said = await town.city("POST", lost, body, key="w")
    assert (said.status, said.code) == (409, "APPROVAL_NEEDED")
    assert said.body["approval_id"] != asked.body["approval_id"]


def _add_lost_statement(town: Town, account: int) -> None:
    values: dict[str, Any] = dict.fromkeys(CREDIT_STATEMENTS.c.keys(), 0)
    values |= {"account_id": account, "month": 2026 * 12 + 1, "amount_minor": 300}
    values |= {"close_us": 1, "due_us": 2, "late_us": 3, "lost_us": time.time_ns() // 1000}
    with town.access.database.transaction() as connection:
        connection.execute(CREDIT_STATEMENTS.insert().values(values))


class TestAlways:
    """With everything behind four eyes, whatever the amount."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Config:
        file = make_data_dir(tmp_path / "metro")
        text = file.read_text().replace(
            '"credit_limit" = 500000', '"credit_limit" = 0\n"credit" = 0'
        )
        file.write_text(text)
        return load_config(file, env={}, flags=FLAGS).config

    async def test_nobody_alone_gives_credit_or_money(self, town: Town) -> None:
        account = await town.city.account()
        credits = f"/v1/accounts/{account}/credits"
        put_in = await town.agreed(credits, {"amount_minor": 700, "reference": "till"})
        assert (put_in.status, await town.city.balance(account)) == (201, 700)
        rule = {
            "kind": "threshold",
            "threshold_minor": 500,
            "amount_minor": 900,
            "source": "salary",
        }
        made = await town.agreed(f"/v1/accounts/{account}/top-up-rules", rule)
        assert made.status == 201, made
        await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 3})
        path = f"/v1/accounts/{account}/credit-line"
        opened = await town.agreed(path, LINE)
        assert (opened.status, opened.body["limit_minor"]) == (201, 50_000)
        scored = await town.agreed(f"{path}/score", {"score": 800})
        assert (scored.status, scored.body["limit_minor"]) == (200, 200_000)


def test_every_action_is_asked_for_somewhere() -> None:
    source = inspect.getsource(eyes)
    assert [one.name for one in Action if f"Action.{one.name}" not in source] == []
    asked = "".join(inspect.getsource(module) for module in (lending, money, topups))
    for method in ("require_credit(", "require_credit_limit(", "require_write_off("):
        assert f"_eyes.{method}" in asked
