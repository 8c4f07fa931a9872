"""`faregate device`: validators and their keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    say,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.registry.devices import Device

DeviceArgument = Annotated[int, typer.Argument(metavar="DEVICE", min=1, help="Its number.")]


KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE", help="Write the key to a new file that only you may read."
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Validators: add, list, change keys, revoke.")
    group.command("add")(add)
    group.command("list")(list_devices)
    group.command("rotate")(rotate)
    group.command("revoke")(revoke)
    app.add_typer(group, name="device", rich_help_panel="Operate")


def add(
    device_id: DeviceArgument,
    slot: Annotated[int, typer.Option(min=0, max=15, help="Tariff slot it charges by.")] = 1,
    stop: Annotated[int, typer.Option(min=0, help="Stop it stands at; 0 = it moves.")] = 0,
    label: Annotated[str, typer.Option(help="Text for people.")] = "",
    operator: Annotated[str, typer.Option(help="Who runs it.")] = "",
    key_file: KeyFileOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter a validator and print its key, once: it is stored nowhere. Put it into the device.
    With --key-file it is written there instead of being shown.

    Example: `faregate device add 1001 --slot 1 --stop 150 --label "gate 3, Guomao"`
    """
    from gateway.bootstrap import build_devices
    from gateway.registry.devices import Device

    settings = load_settings(config, replaced).config
    wanted = Device(device_id, label=label, operator=operator, tariff_slot=slot, stop_id=stop)
    master = _master_key(settings)
    devices = build_devices(settings, build_actor())
    _print_with_key(settings, partial(devices.add, wanted), master, key_file, as_json=as_json)


def list_devices(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """List all validators, without keys. With --json one line each.

    Example: `faregate device list --json`
    """
    from gateway.bootstrap import build_devices

    devices = build_devices(load_settings(config, replaced).config).list_all()
    if as_json:
        for device in devices:
            print_json(device.as_dict())
        return
    print_table(
        ("device", "state", "slot", "stop", "keys", "operator", "label"),
        [
            (d.device_id, d.state, d.tariff_slot, d.stop_id, d.key_versions, d.operator, d.label)
            for d in devices
        ],
    )


def rotate(
    device_id: DeviceArgument,
    finish: Annotated[
        bool, typer.Option("--finish", help="End the old key instead of making a new one.")
    ] = False,
    key_file: KeyFileOption = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a validator a new key and print it. The old one works until `--finish`.

    Example: `faregate device rotate 1001`, put the key into the device, then
    `faregate device rotate 1001 --finish`
    """
    from gateway.bootstrap import build_devices

    settings = load_settings(config, replaced).config
    master = _master_key(settings)
    devices = build_devices(settings, build_actor())
    if finish:
        _print(settings, devices.finish_rotation(device_id), as_json=as_json)
    else:
        work = partial(devices.rotate, device_id)
        _print_with_key(settings, work, master, key_file, as_json=as_json)


def revoke(
    device_id: DeviceArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shut a validator out, for good. A running gateway closes its session at once.

    Example: `faregate device revoke 1001`
    """
    from gateway.bootstrap import build_devices

    settings = load_settings(config, replaced).config
    _print(settings, build_devices(settings, build_actor()).revoke(device_id), as_json=as_json)


def _master_key(settings: Config) -> bytes:
    from gateway.keys import read_secret

    return read_secret(settings.security.master_key_file)


def _print(settings: Config, device: Device, *, as_json: bool) -> None:
    print_result(device.as_dict() | {"live": _push(settings, device)}, as_json=as_json)


def _print_with_key(
    settings: Config,
    work: Callable[[], Device],
    master: bytes,
    key_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Do it when its key can be kept; tell the gateway when it is."""
    from gateway.keys import new_secret_file
    from gateway.link.handshake import derive_device_key

    with new_secret_file(key_file) as keep:
        device = work()
        key = derive_device_key(master, device.device_id, device.key_version)
        keep(key.hex())
    shown = {"key_file": str(key_file)} if key_file else {"key": key.hex()}
    print_result(device.as_dict() | shown | {"live": _push(settings, device)}, as_json=as_json)


def _push(settings: Config, device: Device) -> str:
    """Tell a running data plane: `yes`; `at_start`: none runs; `unknown`: it did not answer."""
    from gateway.bootstrap import build_control_client
    from gateway.errors import CommandError, Uncertain

    try:
        build_control_client(settings).call("device_put", device.as_command())
    except CommandError as error:
        if error.code != "COMMAND_NOT_SENT":
            raise
        return "at_start"
    except Uncertain as error:
        say(f"the running gateway did not confirm it: {error.detail}")
        return "unknown"
    return "yes"
