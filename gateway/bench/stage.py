"""What a run needs, made before it: riders with money, validators, a gateway that serves.

Either a gateway of the benchmark's own, or one that runs on this machine already.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.bench._histogram import Histogram
from gateway.bench.fsync import measure_fsync
from gateway.bench.opening import (
    TOKEN_BYTES,
    Opened,
    new_tokens,
    open_accounts,
    open_by_snapshot,
)
from gateway.bench.options import BenchOptions
from gateway.bench.own_gateway import (
    TARIFF_SLOT,
    GatewayFolder,
    add_devices,
    data_folder,
    start_gateway,
)
from gateway.bench.sessions import allow_files
from gateway.bootstrap import build_control_client, build_devices, compile_tariffs
from gateway.config import Config, load_config
from gateway.control.client import ControlClient
from gateway.errors import EnvironmentFault, TariffError
from gateway.observability import page
from gateway.registry.devices import Device

RECORD_BYTES = 384
"""About what a tap's record takes: the size of a group is guessed from it before the run."""
FSYNC_SECONDS = 0.5
OPENERS = 16
"""Commands in flight at once on the control socket of a running gateway."""

Tell = Callable[[str], None]


@dataclass(slots=True)
class Stage:
    """Everything that stands before the first tap."""

    config: Config
    address: tuple[str, int]
    pid: int
    devices: range
    opened: Opened
    stops: array[int]
    finish: Callable[[], int]
    """Stop the gateway if it is our own; its exit status. After it the journal is complete."""
    folder: GatewayFolder | None = None
    """Of the own gateway, to start it once more."""


@contextmanager
def set_stage(options: BenchOptions, core: int | None, tell: Tell) -> Iterator[Stage]:
    """The own gateway or the running one, ready for sessions.

    Raises: FareGatewayError: it cannot be started, reached, or refuses accounts or validators.
    """
    allow_files(options.connections)
    scene = _join(options, tell) if options.config else _own(options, core, tell)
    with scene as stage:
        tell(f"gateway at {stage.address[0]}:{stage.address[1]}")
        yield stage


@contextmanager
def _own(options: BenchOptions, core: int | None, tell: Tell) -> Iterator[Stage]:
    with data_folder(options) as folder:
        began = time.monotonic()
        stops = find_stops(folder.config)
        tell(f"tariff compiled in {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        devices = add_devices(folder.config, options.connections + options.spare_devices)
        opened = _open_own(options, folder.config)
        tell(f"{options.accounts:,} accounts opened in {time.monotonic() - began:.1f} s")
        with start_gateway(folder, core) as gateway:
            pid = gateway.process.pid
            mine = devices[: options.connections]
            yield Stage(
                folder.config, gateway.address, pid, mine, opened, stops, gateway.stop, folder
            )


def _open_own(options: BenchOptions, config: Config) -> Opened:
    if options.opening == "snapshot":
        return open_by_snapshot(config, options.accounts, denied=options.denied)
    return open_accounts(config, options.accounts)


@contextmanager
def _join(options: BenchOptions, tell: Tell) -> Iterator[Stage]:
    config = load_config(options.config, flags=dict(options.settings)).config
    client = build_control_client(config)
    devices = _enter_devices(config, client, options.connections)
    began = time.monotonic()
    opened = Opened(_open_over_control(client, config, options.accounts), _position(client))
    tell(f"{options.accounts:,} accounts opened in {time.monotonic() - began:.1f} s")
    address = (config.link.host, config.link.port)
    stops = find_stops(config)
    yield Stage(config, address, _find_pid(config), devices, opened, stops, lambda: 0)


def _enter_devices(config: Config, client: ControlClient, count: int) -> range:
    registry = build_devices(config)
    first = max((device.device_id for device in registry.list_all()), default=0) + 1
    wanted = range(first, first + count)
    added = registry.add_many(
        Device(device_id=number, label=f"bench {number}", tariff_slot=TARIFF_SLOT)
        for number in wanted
    )
    for device in added:
        client.call("device_put", device.as_command())
    return wanted


def _open_over_control(client: ControlClient, config: Config, count: int) -> bytes:
    tokens = new_tokens(count)
    credit = config.control.credit_max_minor

    def open_one(at: int) -> None:
        account = {"account_id": client.call("account_open")["account_id"]}
        client.call("credit", {**account, "amount_minor": credit, "reference": "bench"})
        token = tokens[at * TOKEN_BYTES : (at + 1) * TOKEN_BYTES]
        client.call("medium_link", {**account, "token": token})

    with ThreadPoolExecutor(OPENERS) as pool:
        for _done in pool.map(open_one, range(count)):
            pass
    return tokens


def _position(client: ControlClient) -> int:
    position: int = client.call("status")["position"]
    return position


def _find_pid(config: Config) -> int:
    view = page.PageReader(config.page_path).read()
    if view is None or not view.writer_lives():
        raise EnvironmentFault(detail=f"no data plane shows itself at {config.page_path}")
    return view[page.PID]


def find_stops(config: Config) -> array[int]:
    """Stops of the benchmark's slot, those whose rides to and from the first one are priced.

    Compiles the tariffs where that is not done yet; the gateway finds them compiled.
    Raises: TariffError: none is in the slot, or it has no stops.
    """
    tariffs = [tariff for slot, tariff in compile_tariffs(config) if slot == TARIFF_SLOT]
    if not tariffs or not tariffs[0].stop_count:
        raise TariffError("TARIFF_NOT_FOUND", f"no tariff with stops is in slot {TARIFF_SLOT}")
    spec = tariffs[0].spec()
    count = len(spec.stop_ids)
    priced = [
        stop
        for at, stop in enumerate(spec.stop_ids)
        if spec.od_fare_minor[at] >= 0 and spec.od_fare_minor[at * count] >= 0
    ]
    return array("I", priced or spec.stop_ids)


def fsync_block_bytes(options: BenchOptions) -> int:
    """About the size of one group of this run, whole pages, at most 1 MiB."""
    taps = options.taps_a_frame * (1 if options.rate else options.connections * options.pipeline)
    return min(max(-(-taps * RECORD_BYTES // 4096) * 4096, 4096), 1 << 20)


def measure_floor(options: BenchOptions, config: Config) -> Histogram:
    """Bare durable writes on the filesystem of this gateway's journal."""
    return measure_fsync(
        config.gateway.data_dir, block_bytes=fsync_block_bytes(options), seconds=FSYNC_SECONDS
    )
