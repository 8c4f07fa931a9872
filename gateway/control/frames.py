"""Frames of the control socket: a big-endian u32 length, then one msgpack map.

Request {"v", "op", "id", "client", "args"}; reply {"v", "id", "ok", "code", "reason", "detail",
"hint", "retry", "result"}. Both sides use this module. Must not import anything of the gateway but
errors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgpack

from gateway.errors import FareGatewayError, Retry, WireError

VERSION = 1
LENGTH_BYTES = 4
FRAME_MAX_BYTES = 4 << 20
ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One command. `id` is its operation id: the same id has its effect once."""

    op: str
    id: bytes
    client: str = "cli"
    args: dict[str, Any] = field(default_factory=dict)
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a command. `reason` is a fastpath Reason, `code` its name or an error's."""

    id: bytes
    ok: bool
    code: str = "ok"
    reason: int = 0
    detail: str = ""
    hint: str = ""
    retry: str = Retry.NEVER
    result: dict[str, Any] = field(default_factory=dict)
    v: int = VERSION


def encode(message: Request | Reply) -> bytes:
    """One frame, length included. Raises: WireError."""
    body = msgpack.packb(asdict(message), use_bin_type=True)
    if len(body) > FRAME_MAX_BYTES:
        raise WireError("WIRE_FRAME_TOO_LONG", f"a control frame of {len(body)} bytes")
    return len(body).to_bytes(LENGTH_BYTES) + bytes(body)


def body_bytes(head: bytes) -> int:
    """Length of the body that follows these 4 bytes. Raises: WireError."""
    length = int.from_bytes(head)
    if not 0 < length <= FRAME_MAX_BYTES:
        raise WireError("WIRE_FRAME_TOO_LONG", f"a control frame of {length} bytes")
    return length


def decode_request(body: bytes) -> Request:
    """Raises: WireError."""
    fields = _decode(body)
    op, op_id, client, args = (fields.get(key) for key in ("op", "id", "client", "args"))
    well_formed = (
        isinstance(op, str)
        and isinstance(op_id, bytes)
        and len(op_id) == ID_BYTES
        and isinstance(client, str)
        and isinstance(args, dict)
    )
    if not well_formed:
        raise WireError("WIRE_MALFORMED", "a control request needs op, id (16 bytes), client, args")
    return Request(op=str(op), id=op_id or b"", client=str(client), args=args or {})


def decode_reply(body: bytes) -> Reply:
    """Raises: WireError."""
    fields = _decode(body)
    types: dict[str, type] = {
        "id": bytes,
        "ok": bool,
        "code": str,
        "reason": int,
        "detail": str,
        "hint": str,
        "retry": str,
        "result": dict,
    }
    for name, kind in types.items():
        if not isinstance(fields.get(name), kind):
            raise WireError("WIRE_MALFORMED", f"a control reply needs {name} as {kind.__name__}")
    return Reply(**{name: fields[name] for name in types})


def error_reply(op_id: bytes, error: FareGatewayError) -> Reply:
    """A coded error as a reply."""
    return Reply(
        id=op_id,
        ok=False,
        code=error.code,
        detail=error.detail,
        hint=error.hint,
        retry=str(error.retry),
    )


def _decode(body: bytes) -> dict[str, Any]:
    try:
        fields = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError("WIRE_MALFORMED", f"a control frame is not msgpack: {error}") from error
    if not isinstance(fields, dict):
        raise WireError("WIRE_MALFORMED", "a control frame must be a map")
    if fields.get("v") != VERSION:
        raise WireError(
            "WIRE_UNSUPPORTED_VERSION", f"control frames of version {fields.get('v')!r}"
        )
    return fields
