"""The gateway's side of a session start in plain Python: the oracle of the compiled one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from gateway.errors import WireError
from gateway.link.codes import (
    KEY_BYTES,
    NONCE_BYTES,
    PREFERENCE,
    PROTOCOL_VERSION,
    Algorithm,
    WireCode,
    wire_error,
)
from gateway.link.frames import Auth, Challenge, Hello
from gateway.link.handshake import (
    SealedLink,
    SessionKeys,
    choose_algorithm,
    derive_session_keys,
    frame_bytes,
    read_hello,
)


class ServerHandshake:
    """The gateway's side: on_hello(), then on_auth(); `keys` and `hello` are set in between.

    find_device_key answers None for devices that are unknown or revoked, or whose key version is
    not accepted: they are led on to on_auth and fail there like a wrong key, at the same cost.
    """

    def __init__(
        self,
        find_device_key: Callable[[int, int], bytes | None],
        *,
        preference: Sequence[Algorithm] = PREFERENCE,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._find_device_key = find_device_key
        self._preference = preference
        self._random = random
        self._known = False
        self.hello: Hello | None = None
        self.keys: SessionKeys | None = None

    def on_hello(self, body: bytes, now_us: int) -> bytes:
        """The challenge frame.

        Raises: WireError: malformed, out_of_range, unknown_frame, not_in_session (another frame),
            unsupported_version, unknown_algorithm.
        """
        hello = read_hello(body)
        if self.hello is not None:
            raise wire_error(WireCode.NOT_IN_SESSION, "a second hello")
        algorithm = choose_algorithm(hello.algorithms, self._preference)
        nonce, decoy = self._random(NONCE_BYTES), self._random(KEY_BYTES)
        device_key = self._find_device_key(hello.device_id, hello.key_version)
        self._known = device_key is not None
        self.hello = hello
        self.keys = derive_session_keys(device_key or decoy, hello, nonce, algorithm)
        return frame_bytes(Challenge(0, PROTOCOL_VERSION, nonce, algorithm, now_us).encode())

    def on_auth(self, body: bytes) -> SealedLink:
        """The session, its receiving counter already past the auth frame.

        Raises: WireError: auth_failed: unknown, revoked, wrong key, forged: never says which.
        """
        if self.keys is None:
            raise wire_error(WireCode.NOT_IN_SESSION, "auth before hello")
        link = SealedLink(self.keys, is_server=True)
        try:
            is_auth = isinstance(link.open(body), Auth)
        except WireError:
            is_auth = False
        if not (is_auth and self._known):
            raise wire_error(WireCode.AUTH_FAILED)
        return link
