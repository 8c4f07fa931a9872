"""`make demo`: a gateway of its own, Beijing's riders, a crash in the middle, a check of it all.

Environment: DEMO_SECONDS, how long riders travel (20). Exit status: 0, or 1 when something is wrong
or lost or fewer than 1,000 taps a second were answered. Ends everything it started, whatever
happens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from gateway.bootstrap import build_devices
from gateway.config import Config
from gateway.errors import FareGatewayError
from gateway.simulate.check import CheckResult
from gateway.simulate.crowd import Crowd
from gateway.simulate.examine import examine, load_tariffs
from gateway.simulate.orders import Orders
from gateway.simulate.report import build_result, print_summary
from gateway.simulate.riders import Profile
from gateway.simulate.roster import (
    BUS_SLOT,
    METRO_SLOT,
    Roster,
    announce_devices,
    choose_profiles,
    open_accounts,
    plan_places,
    read_balances,
    register_devices,
    top_up,
)
from gateway.simulate.served import ServedGateway, make_folder
from gateway.simulate.show import Display, choose_display
from gateway.simulate.travel import Hands, Plan, build_world, travel
from gateway.simulate.world import World
from gateway.tariffs.loaded import LoadedTariff

LEAST_TAPS_PER_S = 1_000
RESTART_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What can be chosen. folder: where the data folder is made, on a disk."""

    seconds: float
    taps_per_s: int
    riders: int
    devices: int
    seed: int
    least_taps_per_s: int
    folder: Path
    keep: bool
    kill: bool
    quiet: bool


@dataclass(slots=True)
class DemoRun:
    """What came of it."""

    result: dict[str, Any]
    check: CheckResult
    groups: int
    stop_status: int

    def faults(self, options: DemoOptions) -> list[str]:
        """What was not as it has to be, each in a line; none = all is well."""
        check, found = self.check, []
        if not check.ok:
            found.append(f"{check.wrong} wrong, {check.lost} lost, {check.doubled} doubled")
        if check.taps < options.least_taps_per_s * options.seconds:
            rate = round(check.taps / options.seconds)
            found.append(
                f"only {rate:,} taps a second were answered, {options.least_taps_per_s:,} are "
                "wanted: something else keeps this machine busy, or name fewer with --least"
            )
        if self.stop_status:
            found.append(f"the gateway ended with status {self.stop_status}")
        return found

    def last_line(self) -> str:
        """For programs."""
        check, result = self.check, self.result
        return (
            f"demo: taps={check.taps} wrong={check.wrong} lost={check.lost + check.doubled} "
            f"p50_us={result['p50_us']} p99_us={result['p99_us']}"
        )


async def run_demo(options: DemoOptions, display: Display) -> DemoRun:
    """The whole demonstration. Raises: FareGatewayError."""
    loaded, flags = make_folder(options.folder, flags={})
    gateway = ServedGateway(loaded, flags)
    try:
        return await _with_gateway(options, display, gateway)
    finally:
        await gateway.kill_all()
        data = loaded.config.gateway.data_dir
        if options.keep:
            display.say(f"kept: {data}")
        else:
            shutil.rmtree(data.parent, ignore_errors=True)
            if not loaded.config.control.socket.is_relative_to(data):
                shutil.rmtree(loaded.config.control.socket.parent, ignore_errors=True)


async def _with_gateway(options: DemoOptions, display: Display, gateway: ServedGateway) -> DemoRun:
    config = gateway.loaded.config
    tariffs, _ = await asyncio.gather(asyncio.to_thread(_compile_tariffs, config), gateway.start())
    display.say(f"faregate serves at {gateway.address[0]}:{gateway.address[1]}")
    metro = tariffs[METRO_SLOT]
    world = build_world(metro.spec, metro.source)
    places = plan_places(world, options.devices, with_bus=BUS_SLOT in tariffs)
    devices = register_devices(config, build_devices(config), places)
    profiles = choose_profiles(config, options.seed, options.riders)
    async with Orders(config.control.socket) as orders:
        await announce_devices(orders, devices)
        profiles = await open_accounts(
            orders,
            profiles,
            lambda opened: display.step("accounts opened", opened, options.riders),
        )
        roster = replace(devices, riders=tuple(profiles))
        crowd = await _travel(options, display, gateway, (roster, world, orders))
        balances = await read_balances(orders, profiles)
    status = await gateway.stop()
    return await _examine(display, config, (tariffs, roster, crowd, balances), status)


def _compile_tariffs(config: Config) -> dict[int, LoadedTariff]:
    """The tariffs as riders and the reference engine need them."""
    tariffs = load_tariffs(config.tariffs)
    for tariff in tariffs.values():
        _ = tariff.spec  # compiled once, here, while the gateway starts in its own processes
    return tariffs


async def _travel(
    options: DemoOptions,
    display: Display,
    gateway: ServedGateway,
    who: tuple[Roster, World, Orders],
) -> Crowd:
    roster, world, orders = who
    killers: list[asyncio.Task[None]] = []

    async def pay_in(profile: Profile, amount_minor: int) -> bool:
        return await top_up(orders, profile, amount_minor)

    def started(crowd: Crowd) -> None:
        if options.kill:
            killers.append(asyncio.create_task(_kill(options, display, gateway)))

    plan = Plan(options.seconds, options.taps_per_s, options.seed, keep_log=True)
    hands = Hands(watch=display.update, top_up=pay_in, started=started)
    try:
        return await travel(roster, world, gateway.address, plan, hands)
    finally:
        for killer in killers:
            killer.cancel()
        done = await asyncio.gather(*killers, return_exceptions=True)
        for error in done:
            if isinstance(error, FareGatewayError):
                raise error


async def _kill(options: DemoOptions, display: Display, gateway: ServedGateway) -> None:
    """In the middle: the data plane dies under load, the supervisor brings it back."""
    await asyncio.sleep(options.seconds / 2)
    pid = gateway.kill_data_plane()
    display.say(f"killed the data plane (SIGKILL, process {pid}) under load")
    began = time.monotonic()
    await gateway.wait_ready("data", 2, RESTART_TIMEOUT_S)
    taken_ms = int((time.monotonic() - began) * 1000)
    display.say(f"it recovered from its journal and serves again after {taken_ms:,} ms")


async def _examine(
    display: Display,
    config: Config,
    evidence: tuple[dict[int, LoadedTariff], Roster, Crowd, dict[int, int]],
    status: int,
) -> DemoRun:
    tariffs, roster, crowd, balances = evidence
    expected = len(crowd.log) + 4 * len(roster.riders)
    check, size = await asyncio.to_thread(
        examine,
        config,
        {slot: tariff.spec for slot, tariff in tariffs.items()},
        told=crowd.log,
        balances=balances,
        stops={device.device_id: device.stop_id for _, device in roster.devices},
        on_progress=lambda done: display.step("records checked", done, max(expected, done)),
    )
    display.step("records checked", check.records, check.records)
    return DemoRun(build_result(crowd), check, size.groups, status)


def parse_options(arguments: list[str] | None = None) -> DemoOptions:
    """The command line and DEMO_SECONDS."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    seconds = float(os.environ.get("DEMO_SECONDS", "20"))
    parser.add_argument("--seconds", type=float, default=seconds, help="how long riders travel")
    parser.add_argument("--rate", type=int, default=2_000, help="taps a second, 0 = no limit")
    parser.add_argument("--riders", type=int, default=2_500)
    parser.add_argument("--devices", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=int, default=LEAST_TAPS_PER_S, help="taps a second to pass")
    parser.add_argument("--dir", type=Path, default=Path("var"), help="where data is kept")
    parser.add_argument("--keep", action="store_true", help="keep the data folder")
    parser.add_argument("--no-kill", action="store_true", help="leave out the crash")
    parser.add_argument("--quiet", action="store_true", help="only the last line")
    chosen = parser.parse_args(arguments)
    return DemoOptions(
        chosen.seconds,
        chosen.rate,
        chosen.riders,
        chosen.devices,
        chosen.seed,
        chosen.least,
        chosen.dir,
        chosen.keep,
        not chosen.no_kill,
        chosen.quiet,
    )


async def _run_until_signal(options: DemoOptions, display: Display) -> DemoRun:
    """SIGTERM ends it as Ctrl-C does: by cancelling, so that everything started is ended."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run_demo(options, display)


def main(arguments: list[str] | None = None) -> int:
    """Run it and say how it went; the exit status."""
    options = parse_options(arguments)
    display = choose_display(quiet=options.quiet)
    try:
        run = uvloop.run(_run_until_signal(options, display))
    except FareGatewayError as error:
        display.close()
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        display.close()
        sys.stderr.write("demo: stopped before its end\n")
        return 130
    display.close()
    if not options.quiet:
        each = run.check.records // max(run.groups, 1)
        extra = {"group commits": f"{run.groups:,} of {each} records on average"}
        print_summary(run.result, run.check, extra, Console())
    faults = run.faults(options)
    sys.stderr.writelines(f"demo: {fault}\n" for fault in faults)
    sys.stdout.write(run.last_line() + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
