"""`faregate person`: personal data. Values come from a file or standard input where they can: the
command line of a process is seen by every user of the machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    build_actor,
    load_settings,
    print_json,
    print_result,
    read_text,
)
from gateway.commands.medium import CardOption, TokenOption
from gateway.errors import RegistryError

PersonArgument = Annotated[str, typer.Argument(metavar="PERSON", help="Its id: per_…")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", help="A JSON object of fields; - = standard input."),
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME=VALUE", help="One field; repeatable. Seen in `ps`."),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Persons: add, find, link, sign-in, consents, erase."
    )
    for name, command in (
        ("add", add),
        ("change", change),
        ("show", show),
        ("find", find),
        ("link", link),
        ("unlink", unlink),
        ("login", login),
        ("consent", consent),
        ("erase", erase),
    ):
        group.command(name)(command)
    app.add_typer(group, name="person", rich_help_panel="Who may")


def add(
    data: DataOption = None,
    field: FieldOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter a person; everything about them lies under a key of their own.

    Example: `echo '{"name": "王小明", "phone": "138..."}' | faregate person add --data -`
    """
    from gateway.bootstrap import build_access

    wanted = _fields(data, field)
    access = build_access(load_settings(config, replaced).config)
    print_result(access.persons.add(build_actor(), wanted).as_dict(), as_json=as_json)


def change(
    person: PersonArgument,
    data: DataOption = None,
    field: FieldOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set some fields; an empty value takes one away.

    Example: `faregate person change per_0123 --field note=`
    """
    from gateway.bootstrap import build_access

    wanted = _fields(data, field)
    access = build_access(load_settings(config, replaced).config)
    print_result(access.persons.change(build_actor(), person, wanted).as_dict(), as_json=as_json)


def show(
    person: PersonArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a person with their accounts, media and consents.

    Example: `faregate person show per_0123`
    """
    from gateway.bootstrap import build_access

    access, actor = build_access(load_settings(config, replaced).config), build_actor()
    found = access.persons.get(actor, person)
    more = {
        "accounts": access.links.list_accounts(person),
        "media": [one.as_dict() for one in access.links.list_media(actor, person)],
        "consents": [one.as_dict() for one in access.consents.list_all(actor, person)],
    }
    print_result(found.as_dict() | more, as_json=as_json)


def find(
    name: Annotated[str, typer.Argument(metavar="FIELD", help="phone, email, id_number ...")],
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="The whole value; - = standard input.")
    ] = "-",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find persons by an exact value. With --json one line each.

    Example: `faregate person find phone < number.txt`
    """
    from gateway.bootstrap import build_access

    text = sys.stdin.readline().strip() if value == "-" else value
    access = build_access(load_settings(config, replaced).config)
    found = list(access.persons.find(build_actor(), name, text))
    for one in found:
        if as_json:
            print_json(one.as_dict())
        else:
            print_result(one.as_dict(), as_json=False)
    if not found and not as_json:
        typer.echo("none")


def link(
    person: PersonArgument,
    account: Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an account its owner.

    Example: `faregate person link per_0123 7`
    """
    from gateway.bootstrap import build_access

    access = build_access(load_settings(config, replaced).config)
    access.links.link_account(build_actor(), person, account)
    accounts = access.links.list_accounts(person)
    print_result({"person_id": person, "accounts": accounts}, as_json=as_json)


def unlink(
    person: PersonArgument,
    account: Annotated[
        int | None, typer.Option("--account", min=1, help="An account that is not theirs.")
    ] = None,
    token: TokenOption = None,
    card: CardOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an account with its media, or one medium, from a person it was entered for wrongly.

    Whose it was is forgotten; what the medium pays from stays as it is. One that pays from an
    account of theirs is listed as theirs again: move it to the right account first.
    Example: `faregate person unlink per_0123 --card "1000 7510 0000 0001"`
    """
    from gateway.bootstrap import build_access
    from gateway.commands.money import read_token

    settings = load_settings(config, replaced).config
    if (account is None) == (token is None and card is None):
        raise UsageError(detail="name one: --account N, --token HEX or --card TEXT")
    links, actor = build_access(settings).links, build_actor()
    if account is not None:
        is_done = links.unlink_account(actor, person, account)
    else:
        data = read_token(settings, token, card)
        theirs = {one.token for one in links.list_media(actor, person)}
        is_done = data in theirs and links.unlink_medium(actor, data)
    if not is_done:
        raise RegistryError("REGISTRY_NOT_FOUND", f"it is not in the name of {person}")
    left = len(links.list_media(actor, person))
    accounts = links.list_accounts(person)
    print_result({"person_id": person, "accounts": accounts, "media": left}, as_json=as_json)


def login(
    person: PersonArgument,
    name: Annotated[str, typer.Argument(metavar="LOGIN", help="E-mail or phone.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a person sign in; the password is asked for, or read from standard input.

    Example: `faregate person login per_0123 wang@example.cn`
    """
    import asyncio
    from getpass import getpass

    from gateway.bootstrap import build_access

    password = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    access = build_access(load_settings(config, replaced).config)
    asyncio.run(access.sessions.set_login(build_actor(), person, name, password))
    print_result({"person_id": person, "login": "set"}, as_json=as_json)


def consent(
    person: PersonArgument,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Who is allowed something.")],
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="What: accounts:read ...")],
    evidence: Annotated[str, typer.Option(help="Where and how it was given.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="End it.")] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write down that a person consents to something, or does not any more.

    Example: `faregate person consent per_0123 union-hospital accounts:read --evidence "form 12"`
    """
    from gateway.bootstrap import build_access
    from gateway.registry.scopes import parse_scopes

    (wanted,) = parse_scopes([scope])
    access, actor = build_access(load_settings(config, replaced).config), build_actor()
    if withdraw:
        made = access.consents.withdraw(actor, person, tenant, wanted)
    else:
        made = access.consents.give(actor, person, tenant, wanted, evidence=evidence)
    print_result(made.as_dict(), as_json=as_json)


def erase(
    person: PersonArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy a person's key and all that lies under it, for good. Money and its numbers stay.

    Backups made before still hold the key, wrapped: docs/security.md says how those end.
    Example: `faregate person erase per_0123`
    """
    from gateway.bootstrap import build_access

    if not yes:
        typer.confirm(f"Erase {person} for good?", abort=True, err=True)
    access = build_access(load_settings(config, replaced).config)
    print_result(access.persons.erase(build_actor(), person).as_dict(), as_json=as_json)


def _fields(data: Path | None, pairs: list[str] | None) -> dict[str, str]:
    """Fields of a person from a file and from options. Raises: UsageError."""
    fields: dict[str, str] = {}
    if data is not None:
        try:
            read = json.loads(read_text(data, "--data"))
        except ValueError as error:
            raise UsageError(detail=f"--data {data}: no JSON: {error}") from error
        if not isinstance(read, dict) or not all(isinstance(v, str) for v in read.values()):
            raise UsageError(detail="--data: a JSON object of texts")
        fields |= read
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(detail="--field: write name=value")
        fields[name] = value
    return fields
