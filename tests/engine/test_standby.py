"""Leader and standby as processes of their own, before a real primary and replica."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fastpath._journal import iter_records
from fastpath.types import Reason, TapKind
from gateway.config import Config
from gateway.control.client import ControlClient
from gateway.engine.recovery import Recovery
from gateway.engine.standby import Standby
from gateway.errors import FareGatewayError
from gateway.journal.valkey import ValkeyJournal, ValkeyOptions
from gateway.journals import valkey_options
from gateway.link.client import LinkSession, open_session
from gateway.link.frames import Answer, TapEvent
from gateway.readiness import EXIT_FENCED
from tests.support.plane import Running, load_settings, make_folder, running
from tests.support.valkey import Pair, needs_server, started

pytestmark = needs_server
REPO = Path(__file__).parents[2]
PATIENCE_S = 40
TAPS = 300
DEVICES = 4
IN_FLIGHT = 4
BALANCE = 1_000_00

GATEWAY = """
import sys
from pathlib import Path
from gateway.dataplane import Loads, serve
from gateway.engine.standby import Standby
from gateway.journals import valkey_options
from gateway.observability.page import Page
from tests.support.plane import DEVICES, load_settings
from tests.support.tariff import small_tariff
input()
config = load_settings(Path(sys.argv[1]))
follow = None
if sys.argv[3] == "standby":
    follow = Standby(valkey_options(config), config.snapshots.dir, config.engine_limits()).follow
page = Page.create(config.page_path)
tariffs = [(1, small_tariff())]
sys.exit(serve(config, page, int(sys.argv[2]), loads=Loads(tariffs), list_devices=lambda: DEVICES,
               follow=follow))
"""


def make_gateway_folder(
    folder: Path, pair: Pair, like: Path | None = None, **valkey: int
) -> Config:
    """Settings for the journal of `pair`; with the secrets of another folder, if there is one."""
    make_folder(folder)
    if like is not None:  # one master key: a validator has one key, whoever leads
        shutil.copytree(like / "secrets", folder / "secrets", dirs_exist_ok=True)
    servers = f'["{pair.primary.address}", "{pair.replica.address}"]'
    settings = {"leader_ttl_ms": 1000, "timeout_ms": 1000} | valkey
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (folder / "gateway.toml").write_text(
        '[link]\nport = 0\n[journal]\nkind = "valkey"\n[valkey]\n'
        f"servers = {servers}\n" + "\n".join(lines) + "\n"
    )
    return load_settings(folder)


class Gateway(Running):
    """A data plane in a process of its own."""

    def __init__(self, config: Config, role: str) -> None:
        self.config = config
        self.sessions: list[LinkSession] = []
        self._client = ControlClient(config.control.socket)
        self._tokens = itertools.count(1)
        ready, write_end = os.pipe()
        command = [sys.executable, "-c", GATEWAY, str(config.gateway.data_dir), str(write_end)]
        self.process = subprocess.Popen(
            [*command, role], pass_fds=(write_end,), cwd=REPO, stdin=subprocess.PIPE
        )
        os.close(write_end)
        self._ready = os.fdopen(ready, "rb")
        self.said: dict[str, str] = {}

    def begin(self) -> Gateway:
        """Once its imports are done, let it serve or follow; wait until it does."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.close()
        self.said = json.loads(self._ready.readline())["ready"]
        return self

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._ready.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Town:
    """Two gateways and one journal; clients find the leader in the directory."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        first = make_gateway_folder(folder / "a", pair)
        second = make_gateway_folder(folder / "b", pair, like=folder / "a")
        self.options: ValkeyOptions = valkey_options(first)
        self._directory = ValkeyJournal.open_reader(self.options, proven=False)
        self.leader = Gateway(first, "data")
        self.standby = Gateway(second, "standby")
        self.leader.begin()
        self.standby.begin()

    async def find_leader(self, after_term: int = 0) -> tuple[int, int]:
        """(term, port) of a leader that listens."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = self._directory.find_leader()
                if found is not None and found.term > after_term and found.where:
                    return found.term, int(found.where.rpartition(":")[2])
                await asyncio.sleep(0.01)

    async def connect(self, port: int, device: int) -> LinkSession:
        identity = self.leader.identity(device)
        session, _ = await open_session("127.0.0.1", port, identity)
        self.leader.sessions.append(session)
        return session

    def count_taps(self) -> Counter[tuple[int, int]]:
        """(device, seq) of the taps in the journal."""
        reader = ValkeyJournal.open_reader(self.options)
        records = [record for group in reader.read(0) for record in iter_records(group)]
        reader.close()
        return Counter((each.id_a, each.id_c) for each in records if each.op <= TapKind.CHECK_OUT)

    def close(self) -> None:
        self._directory.close()
        self.leader.close()
        self.standby.close()


class Driver:
    """Validators that tap without a pause and remember what they were told."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = tokens
        self.told: dict[tuple[int, int], tuple[TapEvent, Answer]] = {}
        self.open: dict[tuple[int, int], TapEvent] = {}
        self._seqs = [itertools.count(1) for _ in range(DEVICES + 1)]

    def event(self, device: int) -> TapEvent:
        seq = next(self._seqs[device])
        kind = TapKind.CHECK_IN if seq % 2 else TapKind.CHECK_OUT
        token = self.tokens[device % len(self.tokens)]
        return TapEvent(7, seq, kind, token, 10 + seq % 3, time.time_ns() // 1000)

    async def tap_on(self, session: LinkSession, device: int) -> None:
        """Until the connection ends."""
        with contextlib.suppress(FareGatewayError, OSError):
            while True:
                event = self.event(device)
                self.open[device, event.seq] = event
                answer = await session.tap(event)
                self.told[device, event.seq] = event, answer
                del self.open[device, event.seq]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.told) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with started(tmp_path / "valkey") as servers:
        yield servers


@pytest.fixture
async def town(tmp_path: Path, pair: Pair) -> AsyncIterator[Town]:
    made = await asyncio.to_thread(Town, tmp_path, pair)
    yield made
    made.close()
    await asyncio.sleep(0.01)  # a turn for the sessions to end


async def test_a_standby_leads_after_a_kill_with_every_acknowledged_tap(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "standby" in town.standby.said
    riders = [await town.leader.rider(BALANCE) for _ in range(DEVICES)]
    driver = Driver([token for _, token in riders])
    term, port = await town.find_leader()
    sessions = {device: await town.connect(port, device) for device in range(1, DEVICES + 1)}
    loops = [
        asyncio.ensure_future(driver.tap_on(session, device))
        for device, session in sessions.items()
        for _ in range(IN_FLIGHT)
    ]
    await driver.until(TAPS)
    town.leader.process.kill()
    killed = time.monotonic()
    await asyncio.gather(*loops)
    in_flight = dict(driver.open)
    _, port = await town.find_leader(after_term=term)
    found = time.monotonic()
    after = {device: await town.connect(port, device) for device in range(1, DEVICES + 1)}
    for (device, _), (event, answer) in driver.told.items():
        assert await after[device].tap(event) == answer
    for (device, _), event in in_flight.items():
        await after[device].tap(event)
    counted = town.count_taps()
    assert set(driver.told) | set(in_flight) == set(counted)
    assert set(counted.values()) == {1}
    fares = {token: 0 for _, token in riders}
    for (device, _), event in [(key, pair[0]) for key, pair in driver.told.items()] + list(
        in_flight.items()
    ):
        again = await after[device].tap(event)
        fares[event.token] += again.fare_minor
    for account_id, token in riders:
        shown = await town.standby.account(account_id)
        assert shown["balance_minor"] == BALANCE - fares[token]
    with capsys.disabled():
        print(  # noqa: T201 - a measurement, not a gate
            f"\n[standby] {len(driver.told)} acknowledged, {len(in_flight)} in flight; "
            f"led and listened {found - killed:.2f} s after the kill"
        )


async def test_a_leader_that_was_only_paused_steps_down(town: Town) -> None:
    _, token = await town.leader.rider()
    term, port = await town.find_leader()
    session = await town.connect(port, 1)
    first = TapEvent(7, 1, TapKind.CHECK_IN, token, 11, time.time_ns() // 1000)
    told = await session.tap(first)
    town.leader.process.send_signal(signal.SIGSTOP)
    late = session.tap(TapEvent(7, 2, TapKind.CHECK_OUT, token, 12, time.time_ns() // 1000))
    _, port = await town.find_leader(after_term=term)
    after = await town.connect(port, 2)
    town.leader.process.send_signal(signal.SIGCONT)
    with pytest.raises((FareGatewayError, OSError)):
        await asyncio.wait_for(late, PATIENCE_S)
    assert await asyncio.to_thread(town.leader.process.wait, PATIENCE_S) == EXIT_FENCED
    assert town.count_taps() == Counter({(1, 1): 1})
    again = await town.connect(port, 1)
    assert await again.tap(first) == told
    event = TapEvent(7, 1, TapKind.CHECK_OUT, token, 12, time.time_ns() // 1000)
    assert (await after.tap(event)).reason == Reason.OK


async def test_a_leader_that_stops_hands_over_at_once_and_a_standby_can_be_stopped(
    town: Town, tmp_path: Path, pair: Pair
) -> None:
    third = Gateway(make_gateway_folder(tmp_path / "c", pair, like=tmp_path / "a"), "standby")
    try:
        await asyncio.to_thread(third.begin)
        term, _ = await town.find_leader()
        town.leader.process.terminate()
        assert await asyncio.to_thread(town.leader.process.wait, PATIENCE_S) == 0
        await town.find_leader(after_term=term)
        leads = {town.standby.process.poll(), third.process.poll()}
        assert leads == {None}  # one leads, the other goes on waiting
        for gateway in (third, town.standby):
            gateway.process.terminate()
            assert await asyncio.to_thread(gateway.process.wait, PATIENCE_S) == 0
    finally:
        third.close()


# --- in this process


async def test_a_data_plane_on_valkey_goes_on_after_a_restart(tmp_path: Path, pair: Pair) -> None:
    config = make_gateway_folder(tmp_path / "a", pair, leader_ttl_ms=200)
    async with running(config) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        event = gate.event(TapKind.CHECK_IN, token, 11)
        first = await gate.session.tap(event)
        shown = await hands.account(account_id)
    async with running(config) as hands:
        assert await hands.account(account_id) == shown
        gate = await hands.gate()
        assert await gate.session.tap(event) == first


async def test_without_the_replica_nothing_is_told_but_heartbeats(
    tmp_path: Path, pair: Pair
) -> None:
    config = make_gateway_folder(tmp_path / "a", pair)
    async with running(config) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        pair.replica.pause()
        tap = asyncio.ensure_future(gate.tap(TapKind.CHECK_IN, token, 11))
        await asyncio.wait([tap], timeout=1.0)
        beat = await gate.session.heartbeat(1, queue_depth=0, mode=1)
        assert beat.device_time_us == 1
        assert not tap.done()
        pair.replica.resume()
        assert (await tap).reason == Reason.OK


async def test_a_standby_that_is_ahead_of_a_promoted_replica_starts_over(
    tmp_path: Path, pair: Pair
) -> None:
    """It followed groups that only the dead primary had."""
    config = make_gateway_folder(tmp_path / "a", pair, replicas=0, leader_ttl_ms=200)
    options = valkey_options(config)
    standby = Standby(options, config.snapshots.dir, config.engine_limits())
    async with running(config) as hands:
        account_id, _ = await hands.rider(700)
        kept = hands.plane.journal.head()
        with pair.replica.client() as client:
            async with asyncio.timeout(PATIENCE_S):
                while client.xlen(options.key("groups")) < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        pair.replica.promote()  # and so cut off from what follows
        await hands.call("credit", account_id=account_id, amount_minor=300)
        await asyncio.to_thread(standby._catch_up)
        assert standby.position > kept.position
    pair.primary.kill()
    followed = await asyncio.to_thread(standby._take_over)
    assert followed is not None
    recovery: Recovery = followed.recovery
    assert recovery.journal.head() == kept
    assert standby.position == kept.position
    assert recovery.records == 3
    recovery.journal.close()
    standby._reader.close()
