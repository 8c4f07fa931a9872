"""`faregate merchant`: who is paid; the journal names merchants by number."""

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

MerchantArgument = Annotated[int, typer.Argument(metavar="MERCHANT", min=1, help="Its number.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Merchants: add, list, close.")
    group.command("add")(add)
    group.command("list")(list_merchants)
    group.command("close")(close)
    app.add_typer(group, name="merchant", rich_help_panel="Who may")


def add(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose till it is.")],
    number: Annotated[int, typer.Option(min=0, help="Its number; 0 = the next free one.")] = 0,
    name: Annotated[str, typer.Option(help="Text for people.")] = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter a receiver of payments.

    Example: `faregate merchant add union-hospital --name pharmacy`
    """
    from gateway.bootstrap import build_access
    from gateway.registry.tenants import Merchant

    access = build_access(load_settings(config, replaced).config)
    made = access.tenants.add_merchant(build_actor(), Merchant(number, tenant, name))
    print_result(made.as_dict(), as_json=as_json)


def list_merchants(
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List merchants. With --json one line each.

    Example: `faregate merchant list --tenant union-hospital`
    """
    from gateway.bootstrap import build_access

    merchants = build_access(load_settings(config, replaced).config).tenants.list_merchants(tenant)
    if as_json:
        for merchant in merchants:
            print_json(merchant.as_dict())
        return
    print_table(
        ("merchant", "tenant", "state", "name"),
        [(one.merchant_id, one.tenant_id, one.state, one.name) for one in merchants],
    )


def close(
    merchant: MerchantArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay nothing to a merchant from now on.

    Example: `faregate merchant close 7`
    """
    from gateway.bootstrap import build_access

    access = build_access(load_settings(config, replaced).config)
    print_result(access.tenants.close_merchant(build_actor(), merchant).as_dict(), as_json=as_json)
