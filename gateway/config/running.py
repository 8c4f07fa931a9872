"""Settings of the gateway itself: its name and folder, its databases, the worker, logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, Strict

from gateway.config.values import RULES, Count, OptionalPath, Port, Seconds, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Who this gateway is and where it keeps what it knows."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    name: Text = "faregate"
    """Named in logs, metrics and hello."""
    data_dir: Path = Path(".")
    """Folder of everything the gateway writes; relative to this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """The registry: devices, persons, tenants, keys, work for peers. A database of record."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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
    tenants: dict[
        Annotated[str, Field(pattern="^[a-z_]{1,16}(:[0-9]{1,20})?$")],
        Annotated[str, Strict(), Field(pattern="^[a-z0-9][a-z0-9-]{0,39}$")],
    ] = field(default_factory=dict)
    """Whose ledger accounts are, for settlements and breaks over the API: "operator:1" = "metro". A
    merchant's is its tenant's without being named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The worker: adapters' relays and other jobs beside the gates."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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
class LogConfig:
    """Logs, on standard error. They never hold tokens."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level written."""
    format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for a person."""
