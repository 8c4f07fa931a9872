"""`faregate simulate`: riders against a running gateway."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    load_settings,
    print_json,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.simulate.check import CheckResult
    from gateway.simulate.crowd import Crowd
    from gateway.simulate.orders import Orders
    from gateway.simulate.riders import Profile
    from gateway.simulate.roster import Roster
    from gateway.simulate.show import Display
    from gateway.tariffs.loaded import LoadedTariff


@dataclass(frozen=True, slots=True)
class _Choice:
    """The options of one call."""

    riders: int
    devices: int
    seconds: float
    seed: int
    rate: int
    check: bool
    save: Path | None


def register(app: typer.Typer) -> None:
    app.command("simulate", rich_help_panel="Run")(simulate)


def simulate(
    riders: Annotated[int, typer.Option(min=1, help="How many people travel.")] = 1_000,
    devices: Annotated[int, typer.Option(min=4, help="How many validators they use.")] = 120,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long.")] = 20.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same journeys.")] = 1,
    rate: Annotated[
        int, typer.Option(min=0, help="Taps a second; 0 = the next as soon as an answer comes.")
    ] = 1_000,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Then decide the whole journal again with the reference engine."
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save-roster",
            metavar="FILE",
            help="Register validators and riders, write them and their keys to a file, and end.",
        ),
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use validators and riders of a file: needs --address."),
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the gateway listens for validators.")
    ] = "",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let riders travel through the network of a running gateway, with all the trouble they have.

    Validators and accounts of their own are registered first, over the control socket; they stay.
    Examples: `faregate simulate --config metro/gateway.toml --rate 0`; from another machine:
    `faregate simulate --save-roster riders.json` here, and
    `faregate simulate --roster riders.json --address gateway:7400` there.
    """
    from gateway.simulate.show import choose_display

    choice = _Choice(riders, devices, seconds, seed, rate, check, save)
    if roster is not None and (not address or check or save is not None):
        raise UsageError(detail="--roster needs --address, and no --check or --save-roster")
    display = choose_display(quiet=as_json)
    try:
        if roster is not None:
            result, checked = _run(_with_roster(choice, roster, address, display)), None
        else:
            settings = load_settings(config, replaced).config
            result, checked = _run(_with_settings(choice, settings, address, display))
    finally:
        display.close()
    _print(result, checked, as_json=as_json)
    if checked is not None and not checked.ok:
        raise typer.Exit(EXIT_FINDINGS)


def _run(work: Any) -> Any:
    import uvloop

    return uvloop.run(work)


def _print(result: dict[str, Any], checked: CheckResult | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from rich.console import Console

    from gateway.simulate.report import print_summary

    if as_json:
        print_json(result | ({"check": asdict(checked)} if checked is not None else {}))
    elif "taps" in result:
        print_summary(result, checked, {}, Console())
    else:
        typer.echo(f"wrote {result['roster']}: {result['riders']} riders")


async def _with_roster(
    choice: _Choice, path: Path, address: str, display: Display
) -> dict[str, Any]:
    from gateway.config import TariffsConfig
    from gateway.simulate.report import build_result
    from gateway.simulate.roster import METRO_SLOT, load_roster

    tariffs = _load_tariffs(TariffsConfig())
    crowd = await _travel(choice, load_roster(path), (tariffs[METRO_SLOT], address), display, None)
    return build_result(crowd)


async def _with_settings(
    choice: _Choice, settings: Config, address: str, display: Display
) -> tuple[dict[str, Any], CheckResult | None]:
    from gateway.simulate.orders import Orders
    from gateway.simulate.report import build_result
    from gateway.simulate.roster import METRO_SLOT, save_roster

    tariffs = _load_tariffs(settings.tariffs)
    metro = tariffs[METRO_SLOT]
    async with Orders(settings.control.socket) as orders:
        roster = await _register(choice, settings, tariffs, orders, display)
        if choice.save is not None:
            save_roster(choice.save, roster)
            return {"roster": str(choice.save), "riders": len(roster.riders)}, None
        where = address or await _find_address(settings)
        crowd = await _travel(choice, roster, (metro, where), display, orders)
        result = build_result(crowd)
        if not choice.check:
            return result, None
        return result, await _check(settings, tariffs, roster, crowd, orders, display)


def _load_tariffs(config: Any) -> dict[int, LoadedTariff]:
    from gateway.simulate.examine import load_tariffs

    return load_tariffs(config)


async def _register(
    choice: _Choice,
    settings: Config,
    tariffs: dict[int, LoadedTariff],
    orders: Orders,
    display: Display,
) -> Roster:
    """Validators and accounts for this run."""
    from dataclasses import replace

    from gateway.bootstrap import build_devices
    from gateway.simulate import roster as people
    from gateway.simulate.travel import build_world

    metro = tariffs[people.METRO_SLOT]
    world = build_world(metro.spec, metro.source)
    places = people.plan_places(world, choice.devices, with_bus=people.BUS_SLOT in tariffs)
    roster = people.register_devices(settings, build_devices(settings), places)
    await people.announce_devices(orders, roster)
    profiles = people.choose_profiles(settings, choice.seed, choice.riders)
    opened = await people.open_accounts(
        orders, profiles, lambda done: display.step("accounts opened", done, choice.riders)
    )
    return replace(roster, riders=tuple(opened))


async def _find_address(settings: Config) -> str:
    """Where the running gateway listens: its page knows the port when the settings say 0."""
    from gateway.errors import EnvironmentFault
    from gateway.observability import page

    port = settings.link.port
    if not port:
        view = page.PageReader(settings.page_path).read()
        if view is None or not view[page.LINK_PORT]:
            raise EnvironmentFault(detail="no gateway runs with these settings")
        port = view[page.LINK_PORT]
    return f"{settings.link.host}:{port}"


async def _travel(
    choice: _Choice,
    roster: Roster,
    where: tuple[LoadedTariff, str],
    display: Display,
    orders: Orders | None,
) -> Crowd:
    from gateway.simulate.roster import top_up
    from gateway.simulate.travel import Hands, Plan, build_world, travel

    metro, address = where
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(detail=f"--address {address}: write HOST:PORT")

    async def pay_in(profile: Profile, amount_minor: int) -> bool:
        return orders is not None and await top_up(orders, profile, amount_minor)

    plan = Plan(choice.seconds, choice.rate, choice.seed, keep_log=choice.check)
    hands = Hands(watch=display.update, top_up=pay_in)
    world = build_world(metro.spec, metro.source)
    return await travel(roster, world, (host, int(port)), plan, hands)


async def _check(
    settings: Config,
    tariffs: dict[int, LoadedTariff],
    roster: Roster,
    crowd: Crowd,
    orders: Orders,
    display: Display,
) -> CheckResult:
    from gateway.simulate.examine import examine
    from gateway.simulate.roster import read_balances

    balances = await read_balances(orders, roster.riders)
    checked, _ = await asyncio.to_thread(
        examine,
        settings,
        {slot: tariff.spec for slot, tariff in tariffs.items()},
        told=crowd.log,
        balances=balances,
        stops={device.device_id: device.stop_id for _, device in roster.devices},
        on_progress=lambda done: display.step("records checked", done, max(done, len(crowd.log))),
    )
    return checked
