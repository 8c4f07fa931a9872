"""`faregate approval`: be the second pair of eyes."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    build_actor,
    load_settings,
    print_json,
    print_result,
    print_table,
)

ApprovalArgument = Annotated[str, typer.Argument(metavar="APPROVAL", help="Its id: apr_…")]
WhyOption = Annotated[str, typer.Option(help="Kept with the decision.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Four eyes: list, approve, reject.")
    group.command("list")(list_open)
    group.command("approve")(approve)
    group.command("reject")(reject)
    app.add_typer(group, name="approval", rich_help_panel="Who may")


def list_open(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """List what waits for a decision, or for its use. With --json one line each.

    Example: `faregate approval list`
    """
    from gateway.bootstrap import build_access

    access = build_access(load_settings(config, replaced).config)
    found = access.approvals.list_open(build_actor())
    if as_json:
        for one in found:
            print_json(one.as_dict())
        return
    print_table(
        ("approval", "state", "action", "of", "asked for", "by"),
        [
            (one.approval_id, one.state, one.action, one.subject, one.summary, one.proposed_by)
            for one in found
        ],
    )


def approve(
    approval: ApprovalArgument,
    why: WhyOption = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Agree to what somebody else proposed; they then send the same request again.

    Example: `faregate approval approve apr_0123 --why "seen the receipt"`
    """
    from gateway.bootstrap import build_access

    access = build_access(load_settings(config, replaced).config)
    made = access.approvals.approve(build_actor(), approval, why=why)
    print_result(made.as_dict(), as_json=as_json)


def reject(
    approval: ApprovalArgument,
    why: WhyOption = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say no. Whoever proposed it may take it back this way, too.

    Example: `faregate approval reject apr_0123 --why "wrong account"`
    """
    from gateway.bootstrap import build_access

    access = build_access(load_settings(config, replaced).config)
    made = access.approvals.reject(build_actor(), approval, why=why)
    print_result(made.as_dict(), as_json=as_json)
