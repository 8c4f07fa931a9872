"""`faregate credit`: ride first, pay later. Lines, statements, instalment plans."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    AccountArgument,
    ConfigOption,
    JsonOption,
    NoteOption,
    OperationIdOption,
    SetOption,
    UsageError,
    load_settings,
    print_json,
    print_result,
    print_table,
)
from gateway.commands.operating import Operating, operate

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.credit.book import CreditLine, CreditPlan
    from gateway.credit.desk import CreditDesk
    from gateway.credit.policy import CreditPolicy
    from gateway.credit.statements import CreditStatement
    from gateway.shell import Shell
    from gateway.wallet.lending import LineOfCredit, PlanOfCredit

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
        ("repay", repay),
        ("write-off", write_off),
        ("close", close),
        ("policies", policies),
    ):
        group.command(name)(command)
    app.add_typer(group, name="credit", rich_help_panel="Operate")


def open_line(
    account_id: AccountArgument,
    score: ScoreOption,
    policy: Annotated[str, typer.Option(help="Whose rules count.")] = "ride-first",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an account a credit line by the rules of a policy. High ones need four eyes.

    Example: `faregate credit open 1001 --score 650`
    """
    do = operate(config, replaced, operation_id, as_json)
    _print_line(do, lambda shell: shell.lending.open(do.actor, do.cause, account_id, policy, score))


def score_line(
    account_id: AccountArgument,
    score: Annotated[int, typer.Argument(min=0, max=1_000, help="The new score.")],
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide the limit anew after a new score or identity tier. High ones need four eyes.

    Example: `faregate credit score 1001 720`
    """
    do = operate(config, replaced, operation_id, as_json)
    _print_line(do, lambda shell: shell.lending.rescore(do.actor, do.cause, account_id, score))


def close(
    account_id: AccountArgument,
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a credit line that owes nothing.

    Example: `faregate credit close 1001`
    """
    do = operate(config, replaced, operation_id, as_json, note=note)
    _print_line(do, lambda shell: shell.lending.close(do.actor, do.cause, account_id))


def plan(
    account_id: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help='As "300.00", of what is drawn.')],
    instalments: Annotated[int, typer.Option(min=2, help="How many.")],
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay a drawn amount back in instalments.

    Example: `faregate credit plan 1001 300.00 --instalments 3`
    """
    from gateway.commands.money import parse_minor

    do = operate(config, replaced, operation_id, as_json)
    policy = _policy(_desk_of(do.config), account_id)
    minor = parse_minor(amount, policy.currency.number)
    line = do.run(
        lambda shell: shell.lending.open_plan(do.actor, do.cause, account_id, minor, instalments)
    )
    made = _plan_fields(line.plans[-1], policy)
    print_result({"operation_id": do.operation_id} | made, as_json=as_json)


def repay(
    account_id: AccountArgument,
    number: Annotated[int, typer.Argument(metavar="PLAN", min=1, help="Its number: `show`.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help='As "100.00".')],
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay of a plan before it is due, with money that is in the main purse.

    The last instalments fall away first.
    Example: `faregate credit repay 1001 1 100.00`
    """
    from gateway.commands.money import parse_minor

    do = operate(config, replaced, operation_id, as_json, note=note)
    policy = _policy(_desk_of(do.config), account_id)
    minor = parse_minor(amount, policy.currency.number)
    line = do.run(lambda shell: shell.lending.repay(do.actor, do.cause, account_id, number, minor))
    (left,) = (one for one in line.plans if one.plan_id == number)
    made = _plan_fields(left, policy)
    print_result({"operation_id": do.operation_id} | made, as_json=as_json)


def write_off(
    account_id: AccountArgument,
    month: Annotated[str, typer.Argument(metavar="YYYY-MM", help="The month of the statement.")],
    note: NoteOption = "",
    operation_id: OperationIdOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up what a lost statement still asks for, when somebody else agrees (four eyes).

    It is a loss of the house, and in the journal.
    Example: `faregate credit write-off 1001 2026-02`
    """
    from gateway.commands.money import with_amounts

    number = _month(month)
    do = operate(config, replaced, operation_id, as_json, note=note)
    do.run(lambda shell: shell.lending.write_off(do.actor, do.cause, account_id, month))
    desk = _desk_of(do.config)
    with desk.book.transaction() as connection:
        statements = desk.book.list_statements(connection, account_id)
    given_minor = sum(one.written_off_minor for one in statements if one.month == number)
    fields = {"account_id": account_id, "month": month, "written_off_minor": given_minor}
    currency = _policy(desk, account_id).currency.number
    print_result(with_amounts(fields, currency), as_json=as_json)


def show(
    account_id: AccountArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """A credit line with its statements and plans.

    Example: `faregate credit show 1001`
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

    Example: `faregate credit policies`
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
    return _desk_of(_settings(config, replaced))


def _desk_of(settings: Config) -> CreditDesk:
    from gateway.bootstrap import build_credit_desk

    return build_credit_desk(settings)


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


def _print_line(do: Operating, work: Callable[[Shell], Coroutine[Any, Any, LineOfCredit]]) -> None:
    """Change a line, and show it."""
    line = do.run(work)
    print_result(_line_fields(_desk_of(do.config), line), as_json=do.as_json)


def _line_fields(desk: CreditDesk, line: CreditLine | LineOfCredit) -> dict[str, Any]:
    from gateway.commands.money import with_amounts

    policy = desk.get_policy(line.policy)
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


def _plan_fields(plan: CreditPlan | PlanOfCredit, policy: CreditPolicy) -> dict[str, Any]:
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
