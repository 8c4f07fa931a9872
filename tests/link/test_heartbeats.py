"""Heartbeats are answered by the compiled engine: the same bytes as Python would send, for the same
state, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.api import FED, Book, Engine, Session, StoreHandle
from fastpath.types import TapKind
from gateway.link import frames
from gateway.link.codes import TIME_MAX_US, Algorithm, DeviceMode, WireCode
from gateway.link.denylist import Denylist
from gateway.link.handshake import SealedLink, SessionKeys
from gateway.link.service import LinkService, LinkState, LoadedTariff, Place, pack_busy, pack_news
from gateway.observability import page as slots
from tests.support.plane import make_folder, running

DEVICE, BOOT, NOW_US = 5, 7, 1_780_000_000_000_000
KEYS = SessionKeys(Algorithm.BLAKE2B, bytes(range(32)), bytes(range(32, 64)))
WINDOW_ACKED = 3


def make_state(tariffs: dict[int, LoadedTariff], *, denied: int = 0, config: int = 1) -> LinkState:
    return LinkState(
        denylist=Denylist(denied),
        clock=lambda: NOW_US,
        sign=lambda _: b"",
        acked_seq=lambda device, boot: WINDOW_ACKED if (device, boot) == (DEVICE, BOOT) else 0,
        next_seq=lambda device, boot: 1,
        tariffs=tariffs,
        config_version=config,
    )


def tariff(slot: int, key: int) -> LoadedTariff:
    return LoadedTariff(slot, key, bytes(32), b"", b"")


class Bench:
    """An engine with one session of a device whose first three taps were seen."""

    def __init__(self) -> None:
        self.engine = Engine(StoreHandle(), Book())
        self.engine.begin(4096, 1)
        self.session = Session(
            KEYS.from_device, KEYS.from_server, algorithm=2, device_id=DEVICE, boot=BOOT
        )
        self.device = SealedLink(KEYS, is_server=False)
        for seq in range(1, WINDOW_ACKED + 1):
            tap = frames.TapEvent(BOOT, seq, TapKind.FLAT, bytes(range(16)), 11, NOW_US)
            self.feed(frames.Tap(self.device.next_counter(), tap).encode())
        assert self.engine.seal(NOW_US, bytes(32)) is not None
        self.engine.begin_next(1 << 20)
        self.engine.commit(0)
        self.engine.end_turn(True)
        self.read()

    def feed(self, payload: bytes, mono_us: int = 0) -> int:
        return self.engine.feed(self.session, self.device.seal(payload), NOW_US, mono_us)

    def read(self) -> list[bytes]:
        """Payloads that the session has ready."""
        data, found = self.session.take(), []
        while data:
            size = int.from_bytes(data[:4])
            found.append(data[4 : 4 + size - 16])
            data = data[4 + size :]
        return found


def ask(bench: Bench, state: LinkState, payload: bytes, *, compiled: bool) -> list[bytes]:
    """What a heartbeat is answered with, by the engine or by the link's Python."""
    bench.engine.tell(news=pack_news(state) if compiled else b"")
    fed = bench.feed(payload)
    assert not fed & FED["waiting"]
    assert bool(fed & FED["ready"]) is compiled
    assert bool(fed & FED["events"]) is not compiled
    service = LinkService(state, bench.session, Place(BOOT))
    for event in bench.session.take_events():
        for answer in service.answer(event[3]):
            bench.session.push(answer.encode())
    return bench.read()


KEYED = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 2**64 - 1)), max_size=20)
U32 = st.integers(0, 2**32 - 1)


@given(KEYED, st.tuples(U32, U32), st.integers(0, TIME_MAX_US), U32, st.sampled_from(DeviceMode))
def test_the_engine_says_what_python_says(
    keys: list[tuple[int, int]], versions: tuple[int, int], time_us: int, depth: int, mode: int
) -> None:
    tariffs = {key: tariff(slot, key) for slot, key in keys}
    state = make_state(tariffs, denied=versions[0], config=versions[1])
    said = []
    for compiled in (True, False):
        bench = Bench()
        beat = frames.Heartbeat(bench.device.next_counter(), time_us, depth, mode)
        said.append(ask(bench, state, beat.encode(), compiled=compiled))
        assert bench.session.queue_depth == depth
    assert said[0] == said[1]
    answer = frames.decode(said[0][0])
    assert isinstance(answer, frames.HeartbeatAnswer)
    assert (answer.acked_seq, answer.server_time_us) == (WINDOW_ACKED, NOW_US)
    assert answer.device_time_us == time_us


@pytest.mark.parametrize("boot", [BOOT, BOOT + 1])
def test_a_device_without_taps_has_seen_none(boot: int) -> None:
    bench = Bench()
    bench.session = Session(
        KEYS.from_device, KEYS.from_server, algorithm=2, device_id=DEVICE + 1, boot=boot
    )
    bench.device = SealedLink(KEYS, is_server=False)
    beat = frames.Heartbeat(bench.device.next_counter(), 1, 0, 1).encode()
    (said,) = ask(bench, make_state({}), beat, compiled=True)
    answer = frames.decode(said)
    assert isinstance(answer, frames.HeartbeatAnswer)
    assert answer.acked_seq == 0


def beat_row(row: list[object]) -> Callable[[int], bytes]:
    return lambda counter: bytes(msgpack.packb([16, counter, *row]))


@pytest.mark.parametrize(
    "row", [[-1, 0, 1], [1, 2**32, 1], [1, 0, 0], [1, 0, 22], [1, 0], [1, 0, 1, 1], ["1", 0, 1]]
)
def test_one_that_is_no_heartbeat_is_for_python_to_refuse(row: list[object]) -> None:
    bench = Bench()
    bench.engine.tell(news=pack_news(make_state({})))
    payload = beat_row(row)(bench.device.next_counter())
    assert bench.feed(payload) & FED["events"]
    assert bench.session.take_events()[0][3] == payload
    assert not bench.read()


def test_counters_are_shared_with_taps_and_rise() -> None:
    bench = Bench()
    bench.engine.tell(news=pack_news(make_state({})))
    counter = bench.device.next_counter()
    beat = frames.Heartbeat(counter, 1, 0, 1).encode()
    bench.feed(beat)
    (said,) = bench.read()
    assert frames.decode(said).counter == 1 + WINDOW_ACKED
    assert bench.feed(beat) & FED["fatal"]
    assert bench.session.take_events() == [("error", int(WireCode.OLD_COUNTER), counter)]


def test_busy_is_worded_as_python_words_it() -> None:
    said = []
    for busy in (pack_busy(), (b"", b"")):
        bench = Bench()
        engine = Engine(StoreHandle(), Book(), waiting_max=0)
        engine.begin(4096, 1)
        engine.tell(busy=busy)
        bench.engine = engine
        assert engine.seal(NOW_US, bytes(32)) is None
        counter = bench.device.next_counter()
        tap = frames.TapEvent(BOOT, 9, TapKind.FLAT, bytes(range(16)), 11, NOW_US)
        bench.feed(frames.Tap(counter, tap).encode())
        for _, code, asked in bench.session.take_events():
            own = bench.session.next_counter()
            answer = frames.error_frame(WireCode(code), counter=own, request_counter=asked)
            bench.session.push(answer.encode())
        said.append(bench.read())
    assert said[0] == said[1]
    error = frames.decode(said[0][0])
    assert isinstance(error, frames.Error)
    assert (error.code, error.request_counter) == (WireCode.BUSY, counter)
    assert (error.retry, error.retry_after_ms) == (1, 200)


async def test_a_gateway_tells_what_is_new(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        first = await gate.session.heartbeat(1, queue_depth=0, mode=1)
        await hands.call("medium_state", token=token, state="lost")
        second = await gate.session.heartbeat(2, queue_depth=0, mode=1)
        assert second.denylist_version == first.denylist_version + 1
        await gate.tap(TapKind.CHECK_IN, token, 11)
        third = await gate.session.heartbeat(3, queue_depth=0, mode=1)
        assert (second.acked_seq, third.acked_seq) == (0, 1)
        assert third.tariffs == tuple((t.slot, t.key) for t in hands.plane.state.tariffs.values())
        before = hands.plane.page[slots.BYTES_OUT]
        await gate.session.heartbeat(4, queue_depth=0, mode=1)
        assert hands.plane.page[slots.BYTES_OUT] > before
