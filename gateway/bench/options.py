"""What a run of `faregate bench link` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError

BATCH_MAX = 256
MACS = ("blake2b", "hmac-sha256")
OPENINGS = ("journal", "snapshot")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """One run. Raises: ConfigError: values that make no run."""

    connections: int = 50
    accounts: int = 1_000_000
    seconds: float = 10.0
    warmup_s: float = 2.0
    batch: int = 0
    """Taps a frame: 0 sends tap frames, n sends tap_batch frames of n."""
    rate: float = 0.0
    """Taps a second over all connections, on a schedule (open loop); 0 = closed loop."""
    poisson: bool = False
    """Open loop: random gaps instead of equal ones."""
    pipeline: int = 1
    """Closed loop: frames in flight on each connection."""
    mac: str = "blake2b"
    verify_every: int = 1
    """Check the tag of every n-th reply; 0 = of none."""
    config: Path | None = None
    """Settings of a running gateway to load instead of an own one; it must allow it."""
    folder: Path = Path("var")
    """Where the own gateway keeps its data; on a disk, not in memory."""
    keep: bool = False
    """Leave the own gateway's data folder behind."""
    tariff: str = "beijing-subway"
    pin: bool = True
    """Client and gateway on cores of their own."""
    prebuilt_bytes: int = 1 << 30
    seed: int = 1
    settings: tuple[tuple[str, str], ...] = ()
    """Settings of the own gateway, as `--set`."""
    opening: str = "journal"
    """Where the own gateway finds its accounts: all in the journal, or in a "snapshot" beside it,
    which takes a tenth of the time and is what a gateway of some age has."""
    denied: int = 0
    """Media on the deny list from the start; with a snapshot only."""
    spare_devices: int = 0
    """Validators that are entered behind those that connect."""

    def __post_init__(self) -> None:
        rules = {
            "connections: 1 to the number of accounts": 1 <= self.connections <= self.accounts,
            "seconds: more than 0": self.seconds > 0 and self.warmup_s >= 0,
            f"batch: 0 to {BATCH_MAX}": 0 <= self.batch <= BATCH_MAX,
            "rate: 0 or more": self.rate >= 0,
            "pipeline: 1 or more": self.pipeline >= 1,
            f"mac: one of {', '.join(MACS)}": self.mac in MACS,
            "verify_every: 0 or more": self.verify_every >= 0,
            f"opening: one of {', '.join(OPENINGS)}": self.opening in OPENINGS,
            "denied: only with a snapshot": not self.denied or self.opening == "snapshot",
        }
        if broken := [rule for rule, kept in rules.items() if not kept]:
            raise ConfigError("CONFIG_INVALID", findings=broken)

    @property
    def taps_a_frame(self) -> int:
        """1 for tap frames."""
        return max(self.batch, 1)
