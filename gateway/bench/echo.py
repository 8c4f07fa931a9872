"""Bare echo servers, and the load generator against them: `python -m gateway.bench.echo`.

What the generator reaches against an echo in C is its own ceiling: a gateway's figure well below it
is the gateway's. The same over uvloop is the floor of anything that answers from a Python protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvloop

from gateway.bench import machine
from gateway.bench._echo import serve_echo
from gateway.bench._load import Load
from gateway.bench.sessions import ALGORITHMS, allow_files

SERVERS = ("c", "uvloop")
RIDERS = 100_000
KEY = bytes(range(1, 33))
"""Both sides are this machine: the tags cost what they cost, and keep no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoOptions:
    """One measurement; the same words as BenchOptions."""

    server: str = "c"
    connections: int = 50
    seconds: float = 3.0
    warmup_s: float = 0.5
    batch: int = 0
    pipeline: int = 1
    mac: str = "blake2b"
    verify_every: int = 1
    pin: bool = True


def measure_echo(options: EchoOptions) -> dict[str, Any]:
    """Send real, tagged tap frames to a server that sends them back; every tag is checked."""
    cores = machine.choose_cores() if options.pin else None
    allow_files(options.connections)
    allowed = os.sched_getaffinity(0)
    with running_server(options.server, cores[1] if cores else None) as port, ExitStack() as plugs:
        load = Load(
            tokens=os.urandom(16 * RIDERS), stops=array("I", [1, 2, 3]), batch=options.batch
        )
        for number in range(1, options.connections + 1):
            plug = plugs.enter_context(socket.create_connection(("127.0.0.1", port)))
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            load.add_link(
                plug.fileno(),
                send_key=KEY,
                receive_key=KEY,
                algorithm=ALGORITHMS[options.mac],
                device_id=number,
                boot_epoch=number,
            )
        load.prepare(_frames(options))
        if cores:
            os.sched_setaffinity(0, {cores[0]})
        try:
            return _go(load, options)
        finally:
            os.sched_setaffinity(0, allowed)


def _frames(options: EchoOptions) -> int:
    taps = 200_000 * (10 if options.batch else 1) * (options.seconds + options.warmup_s)
    return int(taps / max(options.batch, 1) / options.connections) + 1


def _go(load: Load, options: EchoOptions) -> dict[str, Any]:
    began_cpu, began = time.process_time(), time.monotonic()
    load.go(
        duration_s=options.seconds,
        warmup_s=options.warmup_s,
        depth=options.pipeline,
        verify_every=options.verify_every,
        echo=True,
    )
    tally = load.tally()
    return {
        "server": options.server,
        "connections": options.connections,
        "batch": options.batch,
        "pipeline": options.pipeline,
        "taps_per_s": round(tally["window_taps"] / options.seconds),
        "p50_us": load.latency.percentile(500) // 1000,
        "p99_us": load.latency.percentile(990) // 1000,
        "client_cpu": round((time.process_time() - began_cpu) / (time.monotonic() - began), 3),
        "bad_tags": tally["bad_tags"],
        "built_late": tally["built_late"],
    }


@contextmanager
def running_server(kind: str, core: int | None) -> Iterator[int]:
    """An echo server in a process of its own; its port on loopback."""
    command = [sys.executable, "-m", "gateway.bench.echo", "--serve", kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield int(process.stdout.readline() if process.stdout else b"")
    finally:
        process.kill()
        process.communicate()


def serve(kind: str) -> None:
    """Listen on a free port of loopback, print it, and send everything back until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    if kind == "c":
        serve_echo(listener.fileno())
    uvloop.run(_serve_uvloop(listener))


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def _serve_uvloop(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Echo, sock=listener)
    await server.serve_forever()


def main(argv: list[str] | None = None) -> int:
    """The ceiling of the generator against both servers, one JSON object a line."""
    parser = argparse.ArgumentParser(prog="gateway.bench.echo", description=main.__doc__)
    parser.add_argument("--serve", choices=SERVERS, help="be the server")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(argv)
    if options.serve:
        serve(options.serve)
    for server in SERVERS:
        for connections, batch, pipeline in ((1, 0, 1), (50, 0, 1), (50, 0, 32), (50, 32, 1)):
            measured = measure_echo(
                EchoOptions(
                    server=server,
                    seconds=options.seconds,
                    connections=connections,
                    batch=batch,
                    pipeline=pipeline,
                )
            )
            sys.stdout.write(json.dumps(measured) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
