"""Credit lines over HTTP: by score and rule, drawn, paid back in instalments."""

from __future__ import annotations

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
