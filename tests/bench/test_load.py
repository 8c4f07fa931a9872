from __future__ import annotations

import socket
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import msgpack
import pytest

from gateway.bench._load import Load
from gateway.link.frames import decode
from tests.bench.scripted import (
    BLAKE2B,
    BOOT,
    DEVICE_KEY,
    HMAC_SHA256,
    SERVER_KEY,
    Scripted,
    answer,
    connect,
    plain,
    running,
)

STOPS = array("I", [101, 102, 103, 70_000])


def token(rider: int) -> bytes:
    return rider.to_bytes(16, "big")


@contextmanager
def loaded(
    server: Scripted, *, links: int = 2, riders: int = 50, frames: int = 100, **options: Any
) -> Iterator[Load]:
    """A running server and a prepared generator with `links` connections to it."""
    with running(server), ExitStack() as plugs:
        load = Load(tokens=b"".join(map(token, range(riders))), stops=STOPS, **options)
        for device in range(1, links + 1):
            plug: socket.socket = plugs.enter_context(connect(server.port))
            load.add_link(
                plug.fileno(),
                send_key=DEVICE_KEY,
                receive_key=SERVER_KEY,
                algorithm=server.algorithm,
                device_id=device,
                boot_epoch=BOOT,
            )
        load.prepare(frames)
        yield load


def taps_of(server: Scripted) -> list[list[Any]]:
    return [tap for frame in server.frames for tap in (frame[2] if frame[0] == 12 else [frame[2]])]


@pytest.mark.parametrize("algorithm", [HMAC_SHA256, BLAKE2B])
@pytest.mark.parametrize(("batch", "depth"), [(0, 1), (0, 7), (1, 1), (32, 2)])
def test_closed_loop_counts_every_tap_once(algorithm: int, batch: int, depth: int) -> None:
    server = Scripted(algorithm=algorithm)
    with loaded(server, batch=batch, links=3) as load:
        load.go(duration_s=0.2, depth=depth)
        tally = load.tally()
        links = [load.link(index) for index in range(3)]
    sent = len(taps_of(server))
    assert server.bad_tags == 0
    assert (
        sent
        == tally["answered_taps"]
        == tally["by_reason"][0]
        == sum(link[3] for link in links)
        > 0
    )
    assert (
        tally["asked_frames"]
        == tally["answered_frames"]
        == tally["verified_tags"]
        == len(server.frames)
    )
    assert load.latency.count == len(server.frames)
    faults = (
        "bad_tags",
        "bad_counters",
        "bad_frames",
        "unasked",
        "doubled",
        "lost_connections",
        "by_code",
    )
    assert not any(tally[name] for name in faults)
    for _device, boot, first, taps, acked in links:
        assert (boot, first) == (BOOT, 1)
        assert int.from_bytes(acked, "little") == (1 << taps) - 1


def test_frames_are_those_of_the_protocol_and_riders_alternate() -> None:
    server = Scripted()
    with loaded(server, riders=5, links=2, frames=3, flags=8, line=4) as load:
        load.go(duration_s=0.3)
        built_late = load.tally()["built_late"]
    assert built_late > 0
    kinds: dict[bytes, list[int]] = {}
    for tap in taps_of(server):
        assert tap[0] == BOOT
        assert tap[4] in STOPS
        assert (tap[6], tap[7], tap[8], tap[9], tap[10]) == (8, 0, 4, 0, None)
        kinds.setdefault(tap[3], []).append(tap[2])
    assert set(kinds) == set(map(token, range(5)))
    for seen in kinds.values():
        assert seen == [1 + place % 2 for place in range(len(seen))]
    assert {tap[4] for tap in taps_of(server)} == set(STOPS)


@pytest.mark.parametrize("batch", [0, 5])
def test_the_project_s_own_reader_takes_every_frame(batch: int) -> None:
    server = Scripted()
    with loaded(server, links=1, batch=batch, frames=20) as load:
        load.go(duration_s=0.05)
    assert [list(decode(msgpack.packb(frame)).as_row()[:1]) for frame in server.frames] == [
        [frame[1]] for frame in server.frames
    ]


def test_sequence_numbers_counters_and_times_rise_on_each_connection() -> None:
    server = Scripted()
    with loaded(server, links=1, batch=3, frames=10) as load:
        load.go(duration_s=0.1, depth=2)
    assert [frame[1] for frame in server.frames] == list(range(1, len(server.frames) + 1))
    taps = taps_of(server)
    assert [tap[1] for tap in taps] == list(range(1, len(taps) + 1))
    assert all(one[5] < other[5] for one, other in pairwise(taps))


def test_a_fixed_kind_is_kept() -> None:
    server = Scripted()
    with loaded(server, kind=3, frames=5) as load:
        load.go(duration_s=0.05)
    assert {tap[2] for tap in taps_of(server)} == {3}


def test_refusals_are_counted_by_reason_and_only_journaled_answers_are_acknowledged() -> None:
    def script(frame: list[Any]) -> list[Any]:
        busy = frame[2][1] % 2 == 0
        return [
            11,
            frame[1],
            answer(frame[2], reason=16 if busy else 40, position=0 if busy else 512),
        ]

    server = Scripted(script=script)
    with loaded(server, links=1) as load:
        load.go(duration_s=0.1)
        tally, (*_, taps, acked) = load.tally(), load.link(0)
    expected = Counter(16 if tap[1] % 2 == 0 else 40 for tap in taps_of(server))
    assert tally["by_reason"] == expected
    bits = int.from_bytes(acked, "little")
    assert [seq for seq in range(1, taps + 1) if bits >> (seq - 1) & 1] == list(
        range(1, taps + 1, 2)
    )


def test_open_loop_keeps_its_rate_and_shows_a_stall_of_the_server() -> None:
    """200 ms of silence at 1,000 taps/s make 200 late answers; a closed loop would count one."""
    server = Scripted(stall_at=100, stall_s=0.2)
    with loaded(server, links=1, frames=2000) as load:
        load.go(duration_s=0.6, rate=1000)
        tally = load.tally()
    assert tally["asked_frames"] == tally["answered_frames"] == 600
    assert load.latency.count == 600
    assert load.latency.above(100_000_000) >= 95
    assert load.latency.percentile(990) >= 150_000_000


def test_closed_loop_hides_the_same_stall() -> None:
    """What the open loop is for."""
    server = Scripted(stall_at=100, stall_s=0.2)
    with loaded(server, links=1, frames=2000) as load:
        load.go(duration_s=0.6)
    assert load.latency.greatest >= 200_000_000
    assert load.latency.above(190_000_000) <= 4  # no more fit into the run, one after the other


@pytest.mark.parametrize("poisson", [False, True])
def test_open_loop_spreads_over_the_connections(poisson: bool) -> None:
    server = Scripted()
    with loaded(server, links=4, batch=2) as load:
        load.go(duration_s=0.5, rate=2000, poisson=poisson)
        sent = [load.link(index)[3] for index in range(4)]
        tally = load.tally()
    assert tally["asked_frames"] == tally["answered_frames"]
    if poisson:
        assert 350 <= tally["asked_frames"] <= 650
        assert min(sent) > 100
    else:
        assert sent == [250] * 4


def test_what_is_never_answered_counts_as_late() -> None:
    server = Scripted(script=lambda frame: None if frame[2][1] > 20 else plain(frame))
    with loaded(server, links=1) as load:
        load.go(duration_s=0.1, rate=400, drain_s=1)
        tally = load.tally()
    assert tally["asked_frames"] == 40
    assert tally["unanswered_frames"] == 20
    assert load.latency.count == 40
    assert load.latency.above(900_000_000) >= 20


def test_warm_up_is_left_out_of_the_figures() -> None:
    server = Scripted()
    with loaded(server, links=1) as load:
        load.go(duration_s=0.2, warmup_s=0.2, rate=500)
        tally = load.tally()
    assert tally["asked_frames"] == 200
    assert load.latency.count == 100
    assert tally["window_taps"] < 200


def wrong_tag(server: Scripted, frame: list[Any]) -> bytes:
    whole = bytearray(server.pack(plain(frame)))
    whole[-1] ^= 1
    return bytes(whole)


@pytest.mark.parametrize(
    ("counted", "broken"),
    [
        ("bad_tags", wrong_tag),
        ("bad_frames", lambda _server, frame: [11, frame[1], [1, 2, 3]]),
        ("bad_frames", lambda _server, frame: [11, frame[1], answer(frame[2])[:-1]]),
        ("bad_frames", lambda _server, frame: [11]),
        ("bad_frames", lambda _server, frame: ["11", frame[1], answer(frame[2])]),
        (
            "unasked",
            lambda _server, frame: [11, frame[1], answer([frame[2][0], 9999, *frame[2][2:]])],
        ),
        ("unasked", lambda _server, frame: [11, frame[1], answer([1, *frame[2][1:]])]),
        ("bad_counters", lambda _server, frame: [11, 1, answer(frame[2])]),
        ("other_frames", lambda _server, frame: [99, frame[1], 0]),
        ("bad_frames", lambda _server, frame: [127, frame[1], 12, 5, frame[1], 0, 0, ""]),
        ("unasked", lambda _server, frame: [127, frame[1], 12, "text", 77, 0, 0, ""]),
    ],
)
def test_a_wrong_reply_is_counted_as_what_it_is(counted: str, broken: Any) -> None:
    """The tenth reply is wrong; the others stay right."""
    server = Scripted()
    server.script = lambda frame: broken(server, frame) if frame[2][1] == 10 else plain(frame)
    with loaded(server, links=1) as load:
        load.go(duration_s=0.1, rate=200, drain_s=0.4)
        tally, (*_, acked) = load.tally(), load.link(0)
    assert tally[counted] > 0
    assert tally["answered_frames"] == (20 if counted == "bad_counters" else 19)
    assert bool(int.from_bytes(acked, "little") >> 9 & 1) == (counted == "bad_counters")


def test_an_unreadable_length_ends_that_connection_only() -> None:
    server = Scripted()
    fifth: list[int] = []

    def script(frame: list[Any]) -> Any:
        if frame[1] == 5:
            fifth.append(1)
            return b"\xff" * 8 if len(fifth) == 1 else plain(frame)
        return plain(frame)

    server.script = script
    with loaded(server, links=3) as load:
        load.go(duration_s=0.1, rate=300, drain_s=0.5)
        tally = load.tally()
    assert (tally["lost_connections"], tally["bad_frames"]) == (1, 1)
    assert tally["answered_frames"] == tally["asked_frames"] - 1 >= 29


def test_errors_are_counted_by_code() -> None:
    def script(frame: list[Any]) -> list[Any]:
        return [127, frame[1], 12, "batch_too_large", frame[1], 0, 0, "1 to batch_max taps a batch"]

    server = Scripted(script=script)
    with loaded(server, links=1, batch=2) as load:
        load.go(duration_s=0.05)
        tally = load.tally()
    assert tally["by_code"] == {12: tally["asked_frames"]}
    assert tally["answered_taps"] == 0


def test_the_run_ends_when_every_connection_is_gone() -> None:
    server = Scripted(close_at=5)
    with loaded(server, links=1) as load:
        load.go(duration_s=30)
        tally = load.tally()
    assert tally["lost_connections"] == 1
    assert tally["unanswered_frames"] >= 1


def test_tags_can_be_sampled() -> None:
    server = Scripted()
    with loaded(server, links=1) as load:
        load.go(duration_s=0.1, rate=200, verify_every=10)
        tally = load.tally()
    assert tally["verified_tags"] == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tokens": b"x" * 15}, "16 bytes"),
        ({"tokens": b""}, "16 bytes"),
        ({"stops": array("I")}, "stop"),
    ],
)
def test_what_cannot_tap_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Load(**{"tokens": token(1), "stops": STOPS, **options})


def test_go_wants_connections_and_preparation() -> None:
    load = Load(tokens=token(1), stops=STOPS)
    with pytest.raises(ValueError, match="rider"):
        load.prepare(1)
    with pytest.raises(ValueError, match="prepare"):
        load.go(duration_s=1)
