"""The control socket's client against a real socket that behaves in every way it can."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import (
    OperationIds,
    format_operation_id,
    new_operation_id,
    parse_operation_id,
)
from gateway.control import frames
from gateway.control.client import CommandRefused, ControlClient
from gateway.errors import CommandError, FareGatewayError, Retry, Uncertain, WireError

Behaviour = Callable[[socket.socket, frames.Request], None]


class Server:
    """Answers each connection as `behave` says, and remembers the requests."""

    def __init__(self, path: Path, behave: Behaviour) -> None:
        self.path = path
        self.requests: list[frames.Request] = []
        self._behave = behave
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if not (request := self._read(connection)):
                    return
                self.requests.append(request)
                self._behave(connection, request)

    def _read(self, connection: socket.socket) -> frames.Request | None:
        head = connection.recv(4, socket.MSG_WAITALL)
        if not head:
            return None
        return frames.decode_request(connection.recv(frames.body_bytes(head), socket.MSG_WAITALL))

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.path))
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Behaviour], Server]]:
    servers: list[Server] = []

    def start(behave: Behaviour) -> Server:
        servers.append(Server(tmp_path / "control.sock", behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def _reply(connection: socket.socket, request: frames.Request, **fields: Any) -> None:
    connection.sendall(frames.encode(frames.Reply(request.id, **{"ok": True, **fields})))


def _call(server: Server, timeout_s: float = 5.0) -> dict[str, Any]:
    client = ControlClient(server.path, client="test", timeout_s=timeout_s)
    return client.call("credit", {"account_id": 7, "amount_minor": 500})


def test_a_command_and_its_result(serve: Callable[[Behaviour], Server]) -> None:
    server = serve(lambda c, r: _reply(c, r, result={"balance_minor": 500}))
    op_id = new_operation_id()
    client = ControlClient(server.path, client="test")
    assert client.call("credit", {"account_id": 7}, operation_id=op_id) == {"balance_minor": 500}
    assert server.requests == [frames.Request("credit", op_id, "test", {"account_id": 7})]


def test_a_reply_that_comes_byte_by_byte(serve: Callable[[Behaviour], Server]) -> None:
    def slowly(connection: socket.socket, request: frames.Request) -> None:
        for byte in frames.encode(frames.Reply(request.id, True, result={"x": 1})):
            connection.sendall(bytes([byte]))

    assert _call(serve(slowly)) == {"x": 1}


def test_a_refusal_carries_reason_and_retry(serve: Callable[[Behaviour], Server]) -> None:
    refusal = {
        "ok": False,
        "code": "insufficient_balance",
        "reason": 40,
        "detail": "d",
        "hint": "h",
    }
    server = serve(lambda c, r: _reply(c, r, **refusal, retry="safe"))
    with pytest.raises(CommandRefused) as refused:
        _call(server)
    assert (refused.value.code, refused.value.reason) == ("insufficient_balance", 40)
    assert (refused.value.hint, refused.value.retry) == ("h", Retry.SAFE)
    assert refused.value.as_dict()["reason"] == 40


def test_without_a_server_nothing_was_sent(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        ControlClient(tmp_path / "nobody.sock").call("status")
    assert (refused.value.code, refused.value.retry) == ("COMMAND_NOT_SENT", Retry.SAFE)


def _silence(_connection: socket.socket, _request: frames.Request) -> None:
    gone.wait(0.5)


gone = threading.Event()


def _wrong_id(connection: socket.socket, request: frames.Request) -> None:
    connection.sendall(frames.encode(frames.Reply(bytes(16), True)))


BROKEN: dict[str, Behaviour] = {
    "cut": lambda c, r: None,
    "half a head": lambda c, r: c.sendall(b"\0\0"),
    "half a body": lambda c, r: c.sendall(frames.encode(frames.Reply(r.id, True))[:-3]),
    "silence": _silence,
    "no msgpack": lambda c, r: c.sendall(b"\0\0\0\1\xc1"),
    "no map": lambda c, r: c.sendall(b"\0\0\0\1\x90"),
    "missing fields": lambda c, r: c.sendall(b"\0\0\0\4\x81\xa1v\x01"),
    "another version": lambda c, r: c.sendall(b"\0\0\0\4\x81\xa1v\x02"),
    "endless": lambda c, r: c.sendall(b"\xff\xff\xff\xff"),
    "empty": lambda c, r: c.sendall(b"\0\0\0\0"),
    "another operation": _wrong_id,
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_was_sent_and_not_answered_is_uncertain(
    serve: Callable[[Behaviour], Server], name: str
) -> None:
    """Each of these may have moved money; the id that is named is the one that was sent."""
    server = serve(BROKEN[name])
    with pytest.raises(Uncertain) as unknown:
        _call(server, timeout_s=0.2)
    assert unknown.value.retry is Retry.UNKNOWN
    assert parse_operation_id(unknown.value.operation_id) == server.requests[0].id
    assert f"--operation-id {unknown.value.operation_id}" in unknown.value.hint


def test_a_repeat_carries_the_same_id(serve: Callable[[Behaviour], Server]) -> None:
    seen: list[bytes] = []

    def second_time(connection: socket.socket, request: frames.Request) -> None:
        seen.append(request.id)
        if len(seen) == 2:
            _reply(connection, request, result={"repeated": True})

    server = serve(second_time)
    with pytest.raises(Uncertain) as unknown:
        _call(server)
    op_id = parse_operation_id(unknown.value.operation_id)
    again = ControlClient(server.path).call("credit", {}, operation_id=op_id)
    assert again == {"repeated": True}
    assert seen == [op_id, op_id]


# --- frames ----------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.text(), st.binary(min_size=16, max_size=16), st.dictionaries(st.text(), values))
def test_requests_come_back_as_they_went(op: str, op_id: bytes, args: dict[str, Any]) -> None:
    request = frames.Request(op, op_id, "cli", args)
    frame = frames.encode(request)
    assert frames.body_bytes(frame[:4]) == len(frame) - 4
    assert frames.decode_request(frame[4:]) == request


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | values.map(msgpack.packb))
def test_any_bytes_are_a_frame_or_a_coded_error(body: bytes) -> None:
    for decode in (frames.decode_request, frames.decode_reply):
        try:
            decode(body)
        except FareGatewayError as error:
            refused = error
        else:
            continue
        assert isinstance(refused, WireError)


def test_a_frame_has_a_limit() -> None:
    with pytest.raises(WireError):
        frames.encode(frames.Request("x", bytes(16), args={"x": bytes(frames.FRAME_MAX_BYTES)}))
    with pytest.raises(WireError):
        frames.body_bytes((frames.FRAME_MAX_BYTES + 1).to_bytes(4))


def test_an_error_as_a_reply() -> None:
    reply = frames.error_reply(bytes(16), CommandError("COMMAND_CEILING", "too much"))
    assert (reply.ok, reply.code, reply.detail, reply.retry) == (
        False,
        "COMMAND_CEILING",
        "too much",
        "never",
    )
    assert frames.decode_reply(frames.encode(reply)[4:]) == reply


# --- operation ids ---------------------------------------------------------------------------


@given(st.lists(st.integers(0, 1 << 55), min_size=2, max_size=20))
def test_ids_rise_whatever_the_clock_does(instants: list[int]) -> None:
    made = OperationIds()
    ids = [made.make(at_us) for at_us in instants]
    assert ids == sorted(set(ids))


def test_an_id_is_a_uuid_of_version_7_with_its_time() -> None:
    op_id = OperationIds().make(1_795_000_000_123_456)
    text = format_operation_id(op_id)
    assert int(text.replace("-", "")[:12], 16) == 1_795_000_000_123
    assert text[14] == "7"
    assert text[19] in "89ab"
    assert parse_operation_id(text.replace("-", "").upper()) == op_id


@pytest.mark.parametrize("text", ["", "12", "x" * 32, "0199b0c2-5f7e-7000-8000-0123456789abc"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"badly formed|invalid literal"):
        parse_operation_id(text)
