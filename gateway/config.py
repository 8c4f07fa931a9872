"""Settings: TOML file < environment FARE__SECTION__KEY < flag, checked all at once, then frozen.

The only module that imports pydantic: it checks the plain dataclasses below in place, and the rest
of the gateway sees nothing but them. Secrets are never values here, only names of files
(gateway/keys.py reads those).

A relative `gateway.data_dir` counts from the folder of the configuration file, every other relative
path from `gateway.data_dir`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError

from fastpath.types import EngineLimits
from gateway.errors import ConfigError

ENV_PREFIX = "FARE__"
ENV_FILE = "FAREGATE_CONFIG"
SOCKET_PATH_BYTES_MAX = 107  # sun_path of Linux, without its final zero byte

_RULES = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Text = Annotated[str, Strict(), Field(min_length=1)]
Port = Annotated[int, Strict(), Field(ge=0, le=65535)]
Count = Annotated[int, Strict(), Field(ge=1, le=1 << 40)]
Minor = Annotated[int, Strict(), Field(ge=0, le=1 << 53)]
Seconds = Annotated[float, Strict(), Field(gt=0, le=86_400 * 366)]
SlotNumber = Annotated[str, Field(pattern="^([0-9]|1[0-5])$")]
AdapterName = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,31}$")]
OptionalPath = Path | None
ApprovedAction = Literal[
    "adjustment", "unfreeze", "write_off", "credit_limit", "credit", "payout", "fare_reversal"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Who this gateway is and where it keeps what it knows."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    name: Text = "faregate"
    """Named in logs, metrics and hello."""
    data_dir: Path = Path(".")
    """Folder of everything the gateway writes; relative to this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """The validator link (docs/protocol.md)."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
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

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
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
class HttpConfig:
    """Where the API, /docs, /metrics, /livez and /readyz are."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    host: Text = "127.0.0.1"
    """Address to listen on. TLS ends in a proxy before it; /metrics has no login."""
    port: Port = 7480
    """0 takes a free port."""
    heartbeat_max_age_s: Seconds = 5
    """/readyz fails when the data plane's loop has not turned for so long."""
    commit_max_s: Seconds = 2
    """/readyz fails when one commit takes so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """The API under /v1 (docs/api.md), on the port of [http]."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    body_max_bytes: Annotated[int, Strict(), Field(ge=1024, le=16 << 20)] = 65_536
    """Longer request bodies are refused."""
    timeout_s: Seconds = 10
    """A request that takes longer is answered with API_TIMEOUT; its outcome can be asked for."""
    rate_per_s: Count = 200
    """Requests a second of one caller, in the long run."""
    rate_burst: Count = 400
    """Requests of one caller at once."""
    rate_anonymous_per_s: Count = 20
    """Requests a second of one address that is not logged in: to sign in, for tokens, and refused
    ones each."""
    trusted_proxies: tuple[Text, ...] = ()
    """Networks of the proxies in front, as "10.0.0.0/8": only their X-Forwarded-For is believed."""
    keys_keep_days: Annotated[int, Strict(), Field(ge=1, le=3660)] = 90
    """How long an Idempotency-Key is remembered; not shorter than engine.op_horizon_days."""
    wait_max_s: Seconds = 5
    """Longest wait of a read for a journal position (`wait_for`)."""
    webhook_private: bool = False
    """Deliver webhooks to private and loopback addresses too, and over plain http: for tests."""
    webhook_timeout_s: Seconds = 10
    """How long a receiver may take to answer."""
    webhook_give_up_days: Annotated[int, Strict(), Field(ge=1, le=30)] = 5
    """A webhook that failed for so long is switched off."""
    credit_day_max_minor: Annotated[int, Strict(), Field(ge=0)] = 10_000_000
    """Most a tenant that is not the house puts in within 24 hours, minor units; 0 = nothing."""
    topup_sources: list[str] = field(default_factory=list)
    """Where top-up rules may take value from, besides adapters: mandates, payrolls, sponsors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """The journal: the truth about money."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    kind: Literal["segments", "valkey"] = "segments"
    """Where the journal lives: files of this machine, or the servers of [valkey]."""
    dir: Path = Path("journal")
    """Folder of the segment files."""
    segment_mib: Annotated[int, Strict(), Field(ge=1, le=4096)] = 256
    """Size of one file, taken from the disk beforehand."""
    reserve_segments: Annotated[int, Strict(), Field(ge=1, le=16)] = 2
    """Files filled with zeros ahead: a burst of taps that needs more slows down its commits."""
    commit_thread: Literal["auto", "always", "never"] = "auto"
    """Whether commits happen in a helper thread; auto goes by commit_thread_above_ms."""
    commit_thread_above_ms: Annotated[float, Strict(), Field(gt=0, le=10_000)] = 10.0
    """With `auto`: the moving 99th percentile of a commit above which the thread takes over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyConfig:
    """The journal in Valkey, with `journal.kind = "valkey"` (docs/replication.md)."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
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

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    dir: Path = Path("snapshots")
    """Folder of the snapshot files."""
    every_s: Seconds = 300
    """Time between two snapshots."""
    keep: Annotated[int, Strict(), Field(ge=1, le=100)] = 2
    """How many are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Bounds of the engine's memory; beyond them operations are refused with too_many_*."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffsConfig:
    """Which tariffs are loaded. Tariffs themselves are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    dirs: tuple[Path, ...] = ()
    """Folders searched before the tariffs that come with faregate."""
    slots: dict[SlotNumber, Text] = field(
        default_factory=lambda: {"1": "beijing-subway", "2": "beijing-bus"}
    )
    """Tariff of each slot (0-15); a device belongs to one slot. Naming any replaces this list."""

    def by_slot(self) -> dict[int, str]:
        """Slot number → tariff id, ascending."""
        return {int(slot): name for slot, name in sorted(self.slots.items(), key=_slot_order)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """Which limits of identity tiers are in force. Limits themselves are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    dirs: tuple[Path, ...] = ()
    """Folders searched before the limits that come with faregate."""
    profile: str = ""
    """Name of limits, as in `faregate limits list`; empty = nobody has any (docs/limits.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditConfig:
    """Credit lines: who rides first and pays later. Policies are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    dirs: tuple[Path, ...] = ()
    """Folders searched before the policies that come with faregate."""
    every_s: Seconds = 5
    """How often the worker looks for statements to close, repayments and due dates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskConfig:
    """Rules that follow the records and freeze accounts. Rules are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    rules: tuple[Text, ...] = ()
    """Names of files of rules, as in config/risk, or paths; none = nothing is watched."""
    dirs: tuple[Path, ...] = ()
    """Folders searched before the rules that come with faregate."""


def _slot_order(item: tuple[str, str]) -> int:
    return int(item[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """The registry: devices, persons, tenants, keys, work for peers. A database of record."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    file: Path = Path("registry.sqlite")
    """SQLite file, unless a URL is given."""
    url: Text | None = None
    """A PostgreSQL database instead: postgresql://user@host:5432/name, without the password; with
    `?sslmode=verify-full&sslrootcert=/path/ca.pem` over TLS, to servers of that authority only."""
    password_file: OptionalPath = None
    """Password that goes with the URL (mode 0600)."""
    timeout_s: Seconds = 15
    """How long one statement may take in PostgreSQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerConfig:
    """The ledger: double entry, projected from the journal. It can be built again at any time."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    file: Path = Path("ledger.sqlite")
    """SQLite file, unless a URL is given."""
    url: Text | None = None
    """A PostgreSQL database instead: postgresql://user@host:5432/name, without the password; with
    `?sslmode=verify-full&sslrootcert=/path/ca.pem` over TLS, to servers of that authority only."""
    password_file: OptionalPath = None
    """Password that goes with the URL (mode 0600)."""
    timeout_s: Seconds = 300
    """How long one statement may take in PostgreSQL."""
    zone: Annotated[str, Strict(), Field(pattern="^[A-Za-z0-9_+/-]{1,64}$")] = "Asia/Shanghai"
    """IANA zone of business days where no tariff names the service date."""
    currency: Annotated[int, Strict(), Field(ge=1, le=999)] = 156
    """ISO 4217 number of rides that no account pays and whose tariff is not kept any more."""
    settle_days: Annotated[int, Strict(), Field(ge=0, le=60)] = 7
    """So many service days the worker settles when the newest of them is over: what came late makes
    the next file of its day. 0 = only by `faregate settle run`."""
    batch_records: Annotated[int, Strict(), Field(ge=1, le=1_000_000)] = 20_000
    """About how many journal records one transaction projects."""
    names: dict[Annotated[str, Field(pattern="^[a-z_]{1,16}(:[0-9]{1,20})?$")], Text] = field(
        default_factory=dict
    )
    """Names of ledger accounts in statements and files: "merchant:5001" = "Union Hospital"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalsConfig:
    """Four eyes: what one person alone may not do (docs/security.md)."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    above_minor: dict[ApprovedAction, Minor] = field(
        default_factory=lambda: {
            "adjustment": 0,
            "unfreeze": 0,
            "write_off": 0,
            "credit_limit": 500_000,
            "payout": 0,
            "fare_reversal": 0,
        }
    )
    """Amount from which on an action needs a second person, 0 = always. One named replaces all."""
    valid_s: Seconds = 86_400
    """How long a proposal, and then its approval, is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RidersConfig:
    """Riders' sessions."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    idle_s: Seconds = 900
    """A session nobody used for so long is over."""
    life_s: Seconds = 43_200
    """A session is over after this time, however it is used."""
    step_up_s: Seconds = 300
    """How long a second factor, once shown, is good for linking media and the like."""
    webauthn_id: Text = "localhost"
    """Domain that WebAuthn credentials are bound to. Changing it makes all of them useless."""
    webauthn_origins: tuple[Text, ...] = ("https://localhost",)
    """Origins of the pages that may use them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityConfig:
    """Files with secrets; each readable by its owner alone. `faregate init` makes them."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    master_key_file: Path = Path("secrets/master.key")
    """32 random bytes as 64 hex digits: device keys and token keys are derived from it."""
    signing_key_file: Path = Path("secrets/signing.key")
    """Ed25519 seed, 64 hex digits: signs deny lists, tariffs and closed segments."""
    token_key_file: Path = Path("secrets/tokens.key")
    """Ed25519 seed: signs the short tokens of OAuth2 clients."""
    token_old_key_file: OptionalPath = None
    """The seed before it: tokens it signed are still believed, for 15 minutes are enough."""
    registry_key_file: Path = Path("secrets/registry.key")
    """32 random bytes: wraps the key of each person. Lost, all personal data is lost."""
    registry_old_key_files: tuple[Path, ...] = ()
    """The ones before it, until `faregate registry rotate-keys` has wrapped every key anew."""
    index_key_file: Path = Path("secrets/index.key")
    """32 random bytes: finds a person by an exact value without storing it. Cannot be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The worker: adapters' relays and other jobs beside the gates."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    drain_s: Annotated[float, Strict(), Field(gt=0, le=9)] = 8
    """How long a job may finish what is under way when the gateway stops."""
    restart_max_s: Seconds = 60
    """Longest pause before a job that failed is started again."""
    report_s: Seconds = 2
    """How often the jobs' numbers are written for /metrics."""
    poll_s: Seconds = 0.5
    """How often an adapter's relay looks for commands that are due."""
    inbound_host: Text = "127.0.0.1"
    """Address to listen on for messages of peers; put TLS in front of it."""
    inbound_port: Port | None = None
    """Its port; without one nobody listens. 0 takes a free one."""
    inbound_max_bytes: Count = 16 << 20
    """Longer messages are refused."""
    keep_days: Annotated[int, Strict(), Field(ge=60, le=36_600)] = 400
    """How long commands to peers and their messages are kept once they are final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReratingConfig:
    """Re-rating: late and undone taps priced again, incomplete journeys completed later."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    follow: bool = True
    """Whether the worker follows the journal and prices accounts again by itself."""
    quiet_s: Seconds = 60
    """How long no late tap of an account may have come before it is priced again."""
    batch: Annotated[int, Strict(), Field(ge=1, le=10_000)] = 200
    """How many accounts are read and priced at once."""
    history: Literal["ledger", "journal"] = "ledger"
    """Where records are read. The journal needs nothing else, but is walked from its beginning."""
    complete_days: Annotated[int, Strict(), Field(ge=0, le=3_650)] = 56
    """How many days after its tap an incomplete journey may still be completed."""
    complete_per_month: Annotated[int, Strict(), Field(ge=0, le=1_000)] = 3
    """How many journeys a rider completes a calendar month; service desks are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Logs, on standard error. They never hold tokens."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level written."""
    format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one gateway; paths are absolute once loaded."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    link: LinkConfig = field(default_factory=LinkConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    journal: JournalConfig = field(default_factory=JournalConfig)
    valkey: ValkeyConfig = field(default_factory=ValkeyConfig)
    snapshots: SnapshotsConfig = field(default_factory=SnapshotsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    tariffs: TariffsConfig = field(default_factory=TariffsConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    credit: CreditConfig = field(default_factory=CreditConfig)
    risk: RiskConfig = field(default_factory=RiskConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    approvals: ApprovalsConfig = field(default_factory=ApprovalsConfig)
    riders: RidersConfig = field(default_factory=RidersConfig)
    security: SecurityConfig = field(default_factory=SecurityConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    rerating: ReratingConfig = field(default_factory=ReratingConfig)
    adapters: dict[AdapterName, dict[str, Any]] = field(default_factory=dict)
    """Peers: a table [adapters.NAME] each, with its `kind` and that kind's settings
    (docs/adapters.md)."""
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def run_dir(self) -> Path:
        """Sockets, page and pid files: nothing that must survive."""
        return self.gateway.data_dir / "run"

    @property
    def page_path(self) -> Path:
        """The data plane's shared-memory page."""
        return self.run_dir / "page"

    @property
    def worker_page_path(self) -> Path:
        """What the worker's jobs say of themselves."""
        return self.run_dir / "worker.json"

    @property
    def ledger_page_path(self) -> Path:
        """What the projector says of itself."""
        return self.run_dir / "ledger-page"

    @property
    def settlements_dir(self) -> Path:
        """Settlement files of the worker, and by default those of the command."""
        return self.gateway.data_dir / "settlements"

    @property
    def checkpoints_dir(self) -> Path:
        """Signed checkpoints as files, to be copied elsewhere."""
        return self.gateway.data_dir / "checkpoints"

    @property
    def ledger_mark_path(self) -> Path:
        """How far the ledger has seen the journal; outlives a restart, unlike what is in run/."""
        return self.gateway.data_dir / "ledger.mark"

    @property
    def registry_path(self) -> Path:
        """The file of the registry, when it is one."""
        return self.registry.file

    @property
    def limits_dir(self) -> Path:
        """Compiled limits of identity tiers, by digest."""
        return self.gateway.data_dir / "limits"

    def engine_limits(self) -> EngineLimits:
        """The bounds as the engine takes them."""
        day_us = 86_400_000_000
        return EngineLimits(
            accounts_max=self.engine.accounts_max,
            media_max=self.engine.media_max,
            group_bytes_max=self.engine.group_bytes_max,
            group_records_max=self.engine.group_records_max,
            op_horizon_us=self.engine.op_horizon_days * day_us,
        )


_ADAPTER: TypeAdapter[Config] = TypeAdapter(Config)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Settings with where each came from: `default`, `file`, `env NAME` or `flag`."""

    config: Config
    path: Path
    origins: Mapping[str, str]


def load_config(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Read, merge and check all settings. Does not open the secrets.

    Args: flags are dotted names with text values, as in `--set link.port=0`.
    Raises: ConfigError with every fault found.
    """
    environment = os.environ if env is None else env
    file = _find_file(path, environment)
    merged = _Merged()
    merged.add_tree(_read_toml(file), "file")
    for name in sorted(environment):
        if name.startswith(ENV_PREFIX):
            dotted = name[len(ENV_PREFIX) :].lower().replace("__", ".")
            merged.add(dotted, _typed(dotted, environment[name]), f"env {name}")
    for dotted, text in (flags or {}).items():
        merged.add(dotted, _typed(dotted, text), "flag")
    config = _absolute(_checked(merged), file.parent)
    if findings := list(_cross_check(config)):
        raise ConfigError(findings=findings)
    origins = {name: merged.origins.get(name, "default") for name, _ in flatten(config)}
    return LoadedConfig(config, file, origins)


def flatten(config: Config) -> Iterator[tuple[str, object]]:
    """Every setting with its dotted name, in the order of the file."""
    for section in fields(config):
        part = getattr(config, section.name)
        if isinstance(part, dict):
            yield from _flat(section.name, part)
            continue
        for setting in fields(part):
            yield f"{section.name}.{setting.name}", getattr(part, setting.name)


def _flat(dotted: str, value: object) -> Iterator[tuple[str, object]]:
    """Settings whose names are not ours: tables in tables."""
    if not isinstance(value, dict):
        yield dotted, value
        return
    for name, inner in value.items():
        yield from _flat(f"{dotted}.{name}", inner)


@cache
def json_schema() -> dict[str, Any]:
    """JSON schema of the file, for editors; kept in config/schema/. Do not change it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | _ADAPTER.json_schema()


def setting_schema(dotted: str) -> dict[str, Any] | None:
    """The schema of one section or setting, what it says in one line; None: no such one."""
    schema = json_schema()
    node: dict[str, Any] | None = schema
    for part in dotted.split("."):
        node = (node or {}).get("properties", {}).get(part) or (node or {}).get(
            "additionalProperties"
        )
        if not isinstance(node, dict):
            return None
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    if node and "description" in node:
        return node | {"description": " ".join(node["description"].split())}
    return node


class _Merged:
    """A tree of settings, each with the origin that won."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.origins: dict[str, str] = {}

    def add_tree(self, tree: Mapping[str, Any], origin: str, prefix: str = "") -> None:
        for key, value in tree.items():
            dotted = f"{prefix}{key}"
            if isinstance(value, dict):
                self.origins.setdefault(dotted, origin)
                self.add_tree(value, origin, f"{dotted}.")
            else:
                self.add(dotted, value, origin)

    def add(self, dotted: str, value: object, origin: str) -> None:
        *tables, key = dotted.split(".")
        node = self.tree
        for table in tables:
            inner = node.setdefault(table, {})
            if not isinstance(inner, dict):
                raise ConfigError(findings=[f"{dotted}: {table} is not a table (from {origin})"])
            node = inner
        node[key] = value
        self.origins[dotted] = origin
        if len(tables) > 1:
            self.origins[".".join(tables)] = origin

    def origin(self, dotted: str) -> str:
        """Origin of a setting or of the table that holds it."""
        while dotted:
            if dotted in self.origins:
                return self.origins[dotted]
            dotted = dotted.rpartition(".")[0]
        return "default"


def _find_file(path: Path | None, env: Mapping[str, str]) -> Path:
    """The file named, or that of FAREGATE_CONFIG, or ./gateway.toml."""
    file = path or Path(env.get(ENV_FILE) or "gateway.toml")
    if not file.is_file():
        raise ConfigError("CONFIG_NOT_FOUND", f"there is no configuration file {file}")
    return file.resolve()


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("CONFIG_NOT_TOML", f"{file}: {error}") from error
    except OSError as error:
        raise ConfigError("CONFIG_NOT_FOUND", f"{file}: {error.strerror}") from error


def _typed(dotted: str, text: str) -> object:
    """Text of the environment or a flag as the type of the setting; text where that fails."""
    node = setting_schema(dotted) or {}
    kinds = {node.get("type"), *(option.get("type") for option in node.get("anyOf", ()))}
    if "string" in kinds or not kinds - {None}:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _checked(merged: _Merged) -> Config:
    try:
        return _ADAPTER.validate_python(merged.tree)
    except ValidationError as error:
        findings = [_finding(dict(item), merged) for item in error.errors(include_url=False)]
        raise ConfigError(findings=findings) from error


def _finding(error: dict[str, Any], merged: _Merged) -> str:
    """One line for one fault, without the value of an unknown setting: it may be a secret."""
    dotted = ".".join(str(part) for part in error["loc"] if part != "[key]")
    where = f"(from {merged.origin(dotted)})"
    if error["type"] == "unexpected_keyword_argument":
        return f"{dotted}: no such setting{_suggestion(dotted)} {where}"
    message = str(error["msg"])
    return f"{dotted}: {message[0].lower()}{message[1:]}, got {error['input']!r} {where}"


def _suggestion(dotted: str) -> str:
    known = [name for name, _ in flatten(Config())] + [section.name for section in fields(Config)]
    near = get_close_matches(dotted, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _absolute(config: Config, folder: Path) -> Config:
    """All paths made absolute."""
    data_dir = (folder / config.gateway.data_dir).resolve()
    sections: dict[str, Any] = {}
    for section in fields(config):
        part = getattr(config, section.name)
        if isinstance(part, dict):  # an adapter's own model says which of its settings are paths
            sections[section.name] = part
            continue
        changed = {
            setting.name: _rebased(getattr(part, setting.name), data_dir)
            for setting in fields(part)
        }
        sections[section.name] = replace(part, **changed)
    sections["gateway"] = replace(config.gateway, data_dir=data_dir)
    return Config(**sections)


def _rebased(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_rebased(item, folder) for item in value)
    return value


def _cross_check(config: Config) -> Iterator[str]:
    """Rules between settings."""
    link = config.link
    if (link.tls_cert_file is None) != (link.tls_key_file is None):
        yield "link.tls_cert_file: goes together with link.tls_key_file"
    if link.tls_client_ca_file is not None and link.tls_cert_file is None:
        yield "link.tls_client_ca_file: needs link.tls_cert_file"
    if link.idle_timeout_s <= link.heartbeat_s:
        yield "link.idle_timeout_s: must be longer than link.heartbeat_s"
    if _has_password(config.registry.url):
        yield "registry.url: keep the password in registry.password_file"
    if _has_password(config.ledger.url):
        yield "ledger.url: keep the password in ledger.password_file"
    if not _is_zone(config.ledger.zone):
        yield f"ledger.zone: {config.ledger.zone} is no time zone this machine knows"
    if not config.valkey.servers:
        yield "valkey.servers: name at least one"
    if config.worker.keep_days <= config.engine.op_horizon_days:
        yield "worker.keep_days: must be above engine.op_horizon_days"
    if not link.mac:
        yield "link.mac: name at least one algorithm"
    socket = config.control.socket
    if len(os.fsencode(socket)) > SOCKET_PATH_BYTES_MAX:
        yield f"control.socket: {socket} is longer than {SOCKET_PATH_BYTES_MAX} bytes"
    if config.api.keys_keep_days < config.engine.op_horizon_days:
        yield "api.keys_keep_days: must not be shorter than engine.op_horizon_days"
    for network in config.api.trusted_proxies:
        if not _is_network(network):
            yield f"api.trusted_proxies: {network} is no network, as 10.0.0.0/8 or 10.1.2.3 is"
    if config.engine.group_bytes_max > config.journal.segment_mib << 20:
        yield "engine.group_bytes_max: a group must fit into journal.segment_mib"


def _has_password(url: str | None) -> bool:
    """Whether a database's URL carries a password in front of its host."""
    user = (url or "").partition("://")[2].rpartition("@")[0]
    return ":" in user


def _is_network(text: str) -> bool:
    """Whether this is an address or a network without host bits."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_zone(name: str) -> bool:
    """Whether the machine has this IANA zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
