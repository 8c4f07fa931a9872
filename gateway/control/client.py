"""The command line's side of the control socket: one request, one reply, blocking.

A connection that fails before the request is out means that nothing happened; anything that goes
wrong after that means that the outcome is unknown, and says how to find it out.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from gateway.clock import format_operation_id, new_operation_id
from gateway.control import frames
from gateway.errors import CommandError, Retry, Uncertain, WireError


class ControlClient:
    """Sends commands to a data plane on this machine. A connection a call."""

    def __init__(self, path: Path, *, client: str = "cli", timeout_s: float = 5.0) -> None:
        self.path = path
        self.client = client
        self.timeout_s = timeout_s

    def call(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> dict[str, Any]:
        """Send one command and wait for its reply; returns the reply's result.

        Raises: CommandError: refused, or not sent. Uncertain: sent, no (readable) reply.
        """
        reply = self.exchange(op, args, operation_id=operation_id)
        if not reply.ok:
            raise CommandRefused(reply)
        return reply.result

    def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> frames.Reply:
        """As `call`, but a refusal is a value."""
        request = frames.Request(op, operation_id or new_operation_id(), self.client, args or {})
        frame = frames.encode(request)
        with self._connect() as connection:
            try:
                connection.sendall(frame)
                reply = frames.decode_reply(_read_frame(connection))
            except (OSError, WireError) as error:
                raise uncertain(request, error) from error
        if reply.id != request.id:
            raise uncertain(request, WireError(detail="the reply is for another operation"))
        return reply

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(self.timeout_s)
        try:
            connection.connect(str(self.path))
        except OSError as error:
            connection.close()
            detail = f"cannot reach the gateway at {self.path}: {error.strerror or error}"
            raise CommandError("COMMAND_NOT_SENT", detail, retry=Retry.SAFE) from error
        return connection


class CommandRefused(CommandError):
    """The data plane's own refusal; `reason` is a fastpath Reason."""

    def __init__(self, reply: frames.Reply) -> None:
        self.reason = reply.reason
        self.result = reply.result
        super().__init__(reply.code, reply.detail, reply.hint, _retry(reply.retry))

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"reason": self.reason}


def _retry(text: str) -> Retry:
    return Retry(text) if text in set(Retry) else Retry.UNKNOWN


def uncertain(request: frames.Request, error: Exception) -> Uncertain:
    """What is known of a command that was sent and not answered: its operation id."""
    shown = format_operation_id(request.id)
    hint = f"ask `faregate operation show {shown}`, or repeat it with --operation-id {shown}"
    detail = f"{request.op} was sent, then: {error or type(error).__name__}"
    return Uncertain("UNCERTAIN_OUTCOME", detail, hint, operation_id=shown)


def _read_frame(connection: socket.socket) -> bytes:
    head = _read_exactly(connection, frames.LENGTH_BYTES)
    return _read_exactly(connection, frames.body_bytes(head))


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the gateway closed the connection")
        data += part
    return bytes(data)
