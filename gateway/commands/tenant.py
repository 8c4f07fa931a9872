"""`faregate tenant`: city, operators, hospitals, schools."""

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
from gateway.registry.scopes import TenantKind

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Its id: a-z, 0-9, dashes.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Tenants: add, list, close.")
    group.command("add")(add)
    group.command("list")(list_tenants)
    group.command("close")(close)
    app.add_typer(group, name="tenant", rich_help_panel="Who may")


def add(
    tenant: TenantArgument,
    kind: Annotated[TenantKind, typer.Argument(help="What it is.")],
    name: Annotated[str, typer.Option(help="Text for people.")] = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter an organisation that keys and merchants belong to.

    Example: `faregate tenant add union-hospital hospital --name "Union Hospital"`
    """
    from gateway.bootstrap import build_access
    from gateway.registry.tenants import Tenant

    access = build_access(load_settings(config, replaced).config)
    made = access.tenants.add(build_actor(), Tenant(tenant, kind, name))
    print_result(made.as_dict(), as_json=as_json)


def list_tenants(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """List all tenants. With --json one line each.

    Example: `faregate tenant list`
    """
    from gateway.bootstrap import build_access

    tenants = build_access(load_settings(config, replaced).config).tenants.list_all()
    if as_json:
        for tenant in tenants:
            print_json(tenant.as_dict())
        return
    print_table(
        ("tenant", "kind", "state", "name"),
        [(one.tenant_id, one.kind, one.state, one.name) for one in tenants],
    )


def close(
    tenant: TenantArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse all keys and clients of a tenant from now on.

    Example: `faregate tenant close union-hospital`
    """
    from gateway.bootstrap import build_access

    access = build_access(load_settings(config, replaced).config)
    print_result(access.tenants.close(build_actor(), tenant).as_dict(), as_json=as_json)
