"""`faregate key`: API keys and OAuth2 clients. A secret is shown once and stored nowhere."""

from __future__ import annotations

from pathlib import Path
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


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="API keys and clients: create, list, revoke.")
    group.command("create")(create)
    group.command("list")(list_keys)
    group.command("revoke")(revoke)
    app.add_typer(group, name="key", rich_help_panel="Who may")


def create(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose key it is.")],
    scope: Annotated[
        list[str], typer.Option("--scope", help="What it may do (docs/security.md); repeatable.")
    ],
    owner: Annotated[str, typer.Option(help="The person or program responsible for it.")],
    label: Annotated[str, typer.Option(help="Text for people.")] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is good.")] = 90,
    client: Annotated[
        bool, typer.Option("--client", help="An OAuth2 client, whose secret gets short tokens.")
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the secret to a new file that only you may read."),
    ] = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key, or an OAuth2 client, and print its secret, once.

    Example: `faregate key create union-hospital --scope payments:write --owner "ward 3"`
    """
    from gateway.bootstrap import build_access
    from gateway.keys import new_secret_file
    from gateway.registry.credentials import CredentialKind, NewCredential
    from gateway.registry.scopes import parse_scopes

    access = build_access(load_settings(config, replaced).config)
    kind = CredentialKind.CLIENT if client else CredentialKind.KEY
    wanted = NewCredential(tenant, parse_scopes(scope), owner, kind, label, days)
    with new_secret_file(key_file) as keep:
        issued = access.credentials.create(build_actor(), wanted)
        keep(issued.token)
    shown = {"secret_file": str(key_file)} if key_file else {"secret": issued.token}
    print_result(issued.credential.as_dict() | shown, as_json=as_json)


def list_keys(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """List all keys and clients, without secrets. With --json one line each.

    Example: `faregate key list`
    """
    from gateway.bootstrap import build_access
    from gateway.clock import now_us

    access = build_access(load_settings(config, replaced).config)
    keys = access.credentials.list_all(build_actor())
    if as_json:
        for key in keys:
            print_json(key.as_dict())
        return
    now = now_us()
    rows = []
    for one in keys:
        state = "revoked" if one.revoked_us else "over" if one.expires_us <= now else "alive"
        rows.append((one.credential_id, one.tenant_id, state, one.owner, sorted(one.scopes)))
    print_table(("key", "tenant", "state", "owner", "scopes"), rows)


def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id: fgk_… or fgc_…")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key or client, for good. A running gateway refuses it within five seconds.

    Example: `faregate key revoke fgk_0123456789abcdef`
    """
    from gateway.bootstrap import build_access

    access = build_access(load_settings(config, replaced).config)
    print_result(access.credentials.revoke(build_actor(), key).as_dict(), as_json=as_json)
