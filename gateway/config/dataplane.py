"""Settings of what answers validators: link, control socket, journal, snapshots, engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, Strict

from gateway.config.values import RULES, Count, Minor, OptionalPath, Port, Seconds, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """The validator link (docs/protocol.md)."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    host: Text = "127.0.0.1"
    """Address to listen on."""
    port: Port = 7400
    """0 takes a free port; `faregate serve` prints it."""
    heartbeat_s: Seconds = 30
    """How often a validator is to send a heartbeat."""
    half_frame_timeout_s: Seconds = 5
    """A frame begun must be complete within this time, and so must each step of a session start."""
    idle_timeout_s: Seconds = 120
    """A session without any frame for so long is closed."""
    batch_max: Annotated[int, Strict(), Field(ge=1, le=256)] = 256
    """Taps in one tap_batch."""
    frame_max_bytes: Annotated[int, Strict(), Field(ge=1024, le=65_536)] = 65_536
    """Longer frames close the session."""
    sessions_max: Count = 20_000
    """Open sessions; more are told to come back later. Fewer where there may be no more open files
    (`ulimit -Hn`, less 1280)."""
    queue_taps_max: Count = 20_000
    """Taps waiting for their commit; beyond it the answer is `busy`."""
    turn_max_ms: Annotated[float, Strict(), Field(gt=0, le=60_000)] = 3.0
    """How long deciding and writing the taps of a commit may take; beyond it they are `busy`."""
    mac: tuple[Literal["blake2b", "hmac-sha256"], ...] = ("blake2b", "hmac-sha256")
    """Algorithms offered in hello, the preferred one first."""
    tls_cert_file: OptionalPath = None
    """Certificate chain (PEM). With tls_key_file, validators must use TLS."""
    tls_key_file: OptionalPath = None
    """Private key (PEM, mode 0600)."""
    tls_client_ca_file: OptionalPath = None
    """Validators must show a certificate of this authority (PEM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Commands from the control plane, over a Unix socket of the same user."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    socket: Path = Path("run/control.sock")
    """Path of the socket; at most 107 bytes when absolute."""
    timeout_s: Seconds = 5
    """How long a client waits for an answer before the outcome counts as unknown."""
    credit_max_minor: Minor = 100_000
    """Largest credit of one command, in minor units."""
    debit_max_minor: Minor = 5_000_000
    """Largest payment, hold, capture, refund or sale of a pass of one command, in minor units."""
    limit_max_minor: Minor = 5_000_000
    """Largest credit limit, and largest plan of instalments, that one command sets."""
    adjust_max_minor: Minor = 100_000
    """Largest adjustment or write-off of one command, in minor units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """The journal: the truth about money."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    kind: Literal["segments", "valkey"] = "segments"
    """Where the journal lives: files of this machine, or the servers of [valkey]."""
    dir: Path = Path("journal")
    """Folder of the segment files."""
    segment_mib: Annotated[int, Strict(), Field(ge=1, le=4096)] = 256
    """Size of one file, taken from the disk beforehand."""
    reserve_segments: Annotated[int, Strict(), Field(ge=1, le=16)] = 2
    """Files filled with zeros ahead: a burst of taps that needs more slows down its commits."""
    commit_thread: Literal["auto", "always", "never"] = "auto"
    """Where commits happen: never = in the loop, always = in a helper thread; auto = small ones in
    the loop, large ones and all on a slow disk (commit_thread_above_ms) in flight, or in the thread
    where the file system has no writes in flight."""
    commit_thread_above_ms: Annotated[float, Strict(), Field(gt=0, le=10_000)] = 10.0
    """With `auto`: the moving 99th percentile of a commit above which the thread takes over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyConfig:
    """The journal in Valkey, with `journal.kind = "valkey"` (docs/replication.md)."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    servers: tuple[Text, ...] = ("127.0.0.1:6379",)
    """All servers that may be primary, host:port; the primary among them is found by asking."""
    name: Annotated[str, Strict(), Field(pattern="^[A-Za-z0-9_.-]{1,64}$")] = "main"
    """Of this shard; gateways with the same name share one journal."""
    replicas: Annotated[int, Strict(), Field(ge=0, le=16)] = 1
    """How many replicas must have a group before anybody is told; 0 = the primary is enough."""
    timeout_ms: Annotated[int, Strict(), Field(ge=50, le=60_000)] = 2000
    """For connecting and for one reply."""
    resolve_s: Seconds = 30
    """How long an unknown outcome is asked about before the data plane ends."""
    leader_ttl_ms: Annotated[int, Strict(), Field(ge=100, le=60_000)] = 1000
    """A standby takes over when the leader gave no sign of life for so long."""
    user: Text | None = None
    """Of the servers' access list; without it the default user."""
    password_file: OptionalPath = None
    """Password of the servers (mode 0600)."""
    tls_ca_file: OptionalPath = None
    """Speak TLS, to servers with a certificate of this authority (PEM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotsConfig:
    """Snapshots, written by a process of their own: they shorten the next start."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    dir: Path = Path("snapshots")
    """Folder of the snapshot files."""
    every_s: Seconds = 300
    """Time between two snapshots."""
    keep: Annotated[int, Strict(), Field(ge=1, le=100)] = 2
    """How many are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Bounds of the engine's memory; beyond them operations are refused with too_many_*."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    accounts_max: Count = 64_000_000
    """Accounts."""
    media_max: Count = 128_000_000
    """Cards, phones and other media."""
    group_bytes_max: Annotated[int, Strict(), Field(ge=1_192_064, le=256 << 20)] = 4 << 20
    """Most bytes one commit writes; two full batches of the largest records have to fit."""
    group_records_max: Annotated[int, Strict(), Field(ge=1, le=1 << 20)] = 8192
    """Most records one commit writes."""
    op_horizon_days: Annotated[int, Strict(), Field(ge=1, le=3660)] = 30
    """How long the same operation id gives the same answer."""
