"""Signatures of webhooks as Standard Webhooks has them, and their secrets.

webhook-signature: `v1,` + base64 of HMAC-SHA256(secret, "id.timestamp.body"), one for each secret
that counts, with spaces between. Source: standard-webhooks/spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32
TOLERANCE_S = 300


def new_secret() -> bytes:
    """32 random bytes."""
    return os.urandom(SECRET_BYTES)


def show_secret(secret: bytes) -> str:
    """As the receiver is given it."""
    return PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, event_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature."""
    said = f"{event_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, said, hashlib.sha256)).decode()


def build_headers(
    secrets: Iterable[bytes], event_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """The headers of one delivery."""
    signed = [sign(secret, event_id, timestamp_s, body) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signed),
    }


def verify(secret: bytes, headers: dict[str, str], body: bytes, now_s: int) -> bool:
    """What a receiver does: whether a delivery is ours and fresh."""
    try:
        timestamp_s = int(headers["webhook-timestamp"])
        event_id, sent = headers["webhook-id"], headers["webhook-signature"].split()
    except (KeyError, ValueError):
        return False
    if abs(now_s - timestamp_s) > TOLERANCE_S:
        return False
    right = sign(secret, event_id, timestamp_s, body)
    return any(hmac.compare_digest(right.encode(), one.encode()) for one in sent)
