from array import array
from collections.abc import Callable
from typing import Any, final

from gateway.bench._histogram import Histogram

@final
class Load:
    """Taps over authenticated connections, from one thread; everything but `go` is preparation.

    Args: tokens are 16 bytes each, one medium of one rider; stops is an array of uint32 stop ids; batch 0 sends tap
        frames, n sends tap_batch frames of n; kind 0 lets each rider check in and out in turn, else every tap is of
        that TapKind; flags and line go into every tap.
    Raises: ValueError: tokens or stops that cannot be used.
    """

    latency: Histogram
    send_lag: Histogram

    def __init__(
        self,
        tokens: bytes,
        stops: array[int],
        *,
        batch: int = 0,
        kind: int = 0,
        flags: int = 0,
        line: int = 0,
        seed: int = 1,
    ) -> None: ...
    def add_link(
        self,
        fd: int,
        *,
        send_key: bytes,
        receive_key: bytes,
        algorithm: int,
        device_id: int,
        boot_epoch: int,
        next_seq: int = 1,
        send_counter: int = 0,
        receive_counter: int = 0,
    ) -> int:
        """Take over a connection whose handshake is done; the caller keeps the socket open. Counters: the last used."""
    def prepare(self, frames: int, *, bytes_max: int = ...) -> int:
        """Build and tag up to so many frames a connection ahead, within bytes_max in all; how many taps that made."""
    def go(
        self,
        *,
        duration_s: float,
        warmup_s: float = 0.0,
        drain_s: float = 5.0,
        rate: float = 0.0,
        poisson: bool = False,
        depth: int = 1,
        verify_every: int = 1,
        echo: bool = False,
        on_tick: Callable[[Load], object] | None = None,
    ) -> None:
        """Send for warmup_s + duration_s, then wait up to drain_s for what is still open.

        Args: rate > 0 is an open loop of so many taps a second over all connections, else each connection has `depth`
            frames in flight. verify_every n compares the tag of every n-th reply, 0 of none. echo: the other side sends
            our own frames back. on_tick is called about ten times a second.
        """
    def tally(self) -> dict[str, Any]:
        """What was counted since the generator was made: all runs, warm-up included (window_taps excepted)."""
    def link(self, index: int) -> tuple[int, int, int, int, bytes]:
        """(device id, boot epoch, first sequence number, taps sent, one bit a tap: answered with a journal position)."""
    @property
    def link_count(self) -> int: ...
