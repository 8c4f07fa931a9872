"""`faregate city`: what the wallet can do in which city."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.common import JsonOption, print_fields, print_json, print_table

if TYPE_CHECKING:
    from gateway.cities import City

NameArgument = Annotated[str, typer.Argument(metavar="CITY", help="City id or file.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Cities: what the wallet can do there.")
    group.command("list")(list_all)
    group.command("show")(show)
    app.add_typer(group, name="city", rich_help_panel="Fares")


def list_all(as_json: JsonOption = False) -> None:
    """List the cities that come with faregate; with --json one line each.

    Example: `faregate city list`
    """
    from gateway.resources import list_cities

    cities = [_load(name) for name in sorted(list_cities())]
    if as_json:
        for city in cities:
            print_json(city.as_dict())
        return
    columns = ("city", "name", "currency", "zone", "services", "tariffs")
    print_table(
        columns,
        [
            (
                city.city_id,
                " ".join(city.title.values()),
                city.currency,
                city.zone.key,
                [one.kind for one in city.services],
                list(city.tariffs),
            )
            for city in cities
        ],
    )


def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show a city: services, media, tariffs, sources, assumptions. Exit 1 with all faults.

    Example: `faregate city show beijing`
    """
    city = _load(name)
    if as_json:
        print_json(city.as_dict())
        return
    fields = city.as_dict()
    del fields["services"]
    print_fields(fields)
    columns = ("service", "name", "media", "tariff", "source", "assumed")
    rows = [
        (
            one.kind,
            " ".join(one.title.values()),
            list(one.media),
            f"{one.tariff} {one.network}".strip() or "amount of the terminal",
            one.url,
            one.assumed,
        )
        for one in city.services
    ]
    typer.echo("")
    print_table(columns, rows)


def _load(name: str) -> City:
    from gateway.cities import load_city
    from gateway.resources import find_city, list_tariffs

    return load_city(find_city(name), list_tariffs())
