"""Proof of a message's sender: HMAC-SHA256 over id, time and body, as Standard Webhooks has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from adapters.errors import Unauthorized

US = 1_000_000


def sign(key: str, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers that go with a body."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{_mac(key, message_id, str(at_s), body)}",
    }


def check_signature(
    key: str, headers: Mapping[str, str], body: bytes, *, now_us: int, age_max_s: int
) -> None:
    """Raises: Unauthorized: no proof, another's, or too old. Takes the same time for all of them.

    headers may hold several signatures, separated by spaces: one of them has to be right.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    message_id, at = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    given = [one.partition(",")[2] for one in lower.get("webhook-signature", "").split(" ")]
    wanted = _mac(key, message_id, at, body)
    right = [hmac.compare_digest(wanted.encode(), one.encode()) for one in given if one]
    if not any(right) or not at.isascii() or not at.isdigit():
        raise Unauthorized("the signature is not the peer's")
    if abs(now_us // US - int(at)) > age_max_s:
        raise Unauthorized("the signature is too old, or of another clock")


def _mac(key: str, message_id: str, at: str, body: bytes) -> str:
    text = f"{message_id}.{at}.".encode() + body
    return base64.b64encode(hmac.digest(key.encode(), text, hashlib.sha256)).decode()
