"""All sections of the file as one tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from fastpath.types import EngineLimits
from gateway.config.api import ApiConfig, ApprovalsConfig, HttpConfig, RidersConfig, SecurityConfig
from gateway.config.dataplane import (
    ControlConfig,
    EngineConfig,
    JournalConfig,
    LinkConfig,
    SnapshotsConfig,
    ValkeyConfig,
)
from gateway.config.policies import (
    CreditConfig,
    LimitsConfig,
    ReratingConfig,
    RiskConfig,
    TariffsConfig,
)
from gateway.config.running import (
    GatewayConfig,
    LedgerConfig,
    LogConfig,
    RegistryConfig,
    WorkerConfig,
)
from gateway.config.values import RULES, AdapterName


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one gateway; paths are absolute once loaded."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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
