"""`faregate credit-line`: ride first, pay later. Lines, statements, instalment plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    load_settings,
    print_json,
    print_result,
    print_table,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.credit.book import CreditLine, CreditPlan
    from gateway.credit.desk import CreditDesk
    from gateway.credit.policy import CreditPolicy
    from gateway.credit.statements import CreditStatement

AccountArgument = Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")]
ScoreOption = Annotated[
    int, typer.Option(min=0, max=1_000, help="What the scoring partner says, 0 to 1000.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Credit lines: open, change, statements, instalments."
    )
    for name, command in (
        ("open", open_line),
        ("score", score_line),
        ("show", show),
        ("plan", plan),
        ("write-off", write_off),
        ("close", close),
        ("policies", policies),
    ):
        group.command(name)(command)
    app.add_typer(group, name="credit-line", rich_help_panel="Operate")


def open_line(
    account_id: AccountArgument,
    score: ScoreOption,
    policy: Annotated[str, typer.Option(help="Whose rules count.")] = "ride-first",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an account a credit line by the rules of a policy.

    Example: `faregate credit-line open 1001 --score 650`
    """
    desk = _desk(config, replaced)
    _print_line(desk, desk.open_line(account_id, policy, score=score), as_json=as_json)


def score_line(
    account_id: AccountArgument,
    score: Annotated[int, typer.Argument(min=0, max=1_000, help="The new score.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide the limit anew after a new score or identity tier.

    Example: `faregate credit-line score 1001 720`
    """
    desk = _desk(config, replaced)
    _print_line(desk, desk.change_score(account_id, score=score), as_json=as_json)


def close(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a credit line that owes nothing.

    Example: `faregate credit-line close 1001`
    """
    desk = _desk(config, replaced)
    _print_line(desk, desk.close_line(account_id), as_json=as_json)


def plan(
    account_id: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help='As "300.00", of what is drawn.')],
    instalments: Annotated[int, typer.Option(min=2, help="How many.")],
    request: Annotated[
        str, typer.Option(help="Name of this wish: the same one is one plan, however often sent.")
    ] = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay a drawn amount back in instalments.

    Example: `faregate credit-line plan 1001 300.00 --instalments 3`
    """
    from gateway.clock import format_operation_id, new_operation_id
    from gateway.commands.money import parse_minor

    desk = _desk(config, replaced)
    policy = _policy(desk, account_id)
    name = request or format_operation_id(new_operation_id())
    amount_minor = parse_minor(amount, policy.currency.number)
    made = desk.open_plan(account_id, amount_minor, instalments, request=name)
    print_result({"request": name} | _plan_fields(made, policy), as_json=as_json)


def write_off(
    account_id: AccountArgument,
    month: Annotated[str, typer.Argument(metavar="YYYY-MM", help="The month of the statement.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up what a lost statement still asks for. It is a loss of the house, and in the journal.

    Example: `faregate credit-line write-off 1001 2026-02`
    """
    from gateway.commands.money import with_amounts

    desk = _desk(config, replaced)
    given_minor = desk.write_off(account_id, _month(month))
    fields = {"account_id": account_id, "month": month, "written_off_minor": given_minor}
    number = _policy(desk, account_id).currency.number
    print_result(with_amounts(fields, number), as_json=as_json)


def show(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """A credit line with its statements and plans.

    Example: `faregate credit-line show 1001`
    """
    from gateway.clock import now_us

    desk = _desk(config, replaced)
    with desk.book.transaction() as connection:
        line = desk.book.get_line(connection, account_id)
        statements = desk.book.list_statements(connection, account_id)
        plans = desk.book.list_plans(connection, account_id)
    policy, now = desk.policy_of(line), now_us()
    fields = _line_fields(desk, line) | {
        "statements": [_statement_fields(one, policy, now) for one in statements],
        "plans": [_plan_fields(one, policy) for one in plans],
    }
    if as_json:
        print_json(fields)
        return
    lists = {name: fields.pop(name) for name in ("statements", "plans")}
    print_result(fields, as_json=False)
    for name, rows in lists.items():
        if rows:
            print_table([name, *list(rows[0])[1:]], [list(row.values()) for row in rows])


def policies(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Check and list the policies there are.

    Example: `faregate credit-line policies`
    """
    from gateway.credit.policy import load_policy
    from gateway.resources import list_credit_policies

    settings = _settings(config, replaced)
    found = [load_policy(path) for path in list_credit_policies(settings.credit).values()]
    rows = [
        {
            "policy": one.policy_id,
            "currency": one.currency.code,
            "zone": one.zone.key,
            "limits": len(one.limits),
            "instalments": list(one.plan_counts),
        }
        for one in found
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]) if rows else ["policy"], [list(row.values()) for row in rows])


def _settings(config: ConfigOption, replaced: SetOption) -> Config:
    return load_settings(config, replaced).config


def _desk(config: ConfigOption, replaced: SetOption) -> CreditDesk:
    from gateway.bootstrap import build_credit_desk

    return build_credit_desk(_settings(config, replaced))


def _policy(desk: CreditDesk, account_id: int) -> CreditPolicy:
    with desk.book.transaction() as connection:
        return desk.policy_of(desk.book.get_line(connection, account_id))


def _local(policy: CreditPolicy, instant_us: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(instant_us // 1_000_000, policy.zone).isoformat()


def _month(text: str) -> int:
    year, _, number = text.partition("-")
    if not (year.isdecimal() and number.isdecimal() and 1 <= int(number) <= 12):
        raise UsageError(detail=f"{text}: write the month as 2026-02")
    return int(year) * 12 + int(number) - 1


def _print_line(desk: CreditDesk, line: CreditLine, *, as_json: bool) -> None:
    print_result(_line_fields(desk, line), as_json=as_json)


def _line_fields(desk: CreditDesk, line: CreditLine) -> dict[str, Any]:
    from gateway.commands.money import with_amounts

    policy = desk.policy_of(line)
    rule = policy.decide_limit(line.score, line.tier).rule
    fields = {
        "account_id": line.account_id,
        "state": line.state,
        "policy": line.policy,
        "score": line.score,
        "tier": line.tier,
        "limit_minor": line.limit_minor,
        "rule": f"line {rule.line} of {line.policy}.toml" if rule else "no rule fits",
        "late": line.is_late,
    }
    return with_amounts(fields, policy.currency.number)


def _statement_fields(one: CreditStatement, policy: CreditPolicy, now_us: int) -> dict[str, Any]:
    from gateway.commands.money import with_amounts

    fields = {
        "month": f"{one.month // 12}-{one.month % 12 + 1:02d}",
        "standing": str(one.standing(now_us)),
        "amount_minor": one.amount_minor,
        "paid_minor": one.paid_minor,
        "written_off_minor": one.written_off_minor,
        "open_minor": one.open_minor,
        "closed": _local(policy, one.close_us),
        "due": _local(policy, one.due_us),
        "late_from": _local(policy, one.late_us),
    }
    return with_amounts(fields, policy.currency.number)


def _plan_fields(plan: CreditPlan, policy: CreditPolicy) -> dict[str, Any]:
    from gateway.commands.money import with_amounts

    fields = {
        "plan": plan.plan_id,
        "state": plan.state,
        "amount_minor": plan.amount_minor,
        "instalments": plan.instalments,
        "left_minor": sum(one.amount_minor for one in plan.left),
        "schedule": [
            {
                "number": one.number,
                "due": _local(policy, one.due_us),
                "amount_minor": one.amount_minor,
            }
            for one in plan.left
        ],
    }
    return with_amounts(fields, policy.currency.number)
