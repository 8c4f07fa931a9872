"""Settings of what answers people and programs: HTTP, the API, who may what, secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, Strict

from gateway.config.values import (
    RULES,
    ApprovedAction,
    Count,
    Minor,
    OptionalPath,
    Port,
    Seconds,
    Text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Where the API, /docs, /metrics, /livez and /readyz are."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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
class ApprovalsConfig:
    """Four eyes: what one person alone may not do (docs/security.md)."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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
