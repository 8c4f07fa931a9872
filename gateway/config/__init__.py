"""Settings: TOML file < environment FARE__SECTION__KEY < flag, checked all at once, then frozen.

The only package that imports pydantic: it checks the plain dataclasses of the sections in place,
and the rest of the gateway sees nothing but them. Secrets are never values here, only names of
files (gateway/keys.py reads those).

A relative `gateway.data_dir` counts from the folder of the configuration file, every other relative
path from `gateway.data_dir`.

A new setting is a line with its description in the section it belongs to; `make docs` does the
rest. A new section is named in `tree.py`.
"""

from gateway.config.api import ApiConfig, ApprovalsConfig, HttpConfig, RidersConfig, SecurityConfig
from gateway.config.checks import SOCKET_PATH_BYTES_MAX
from gateway.config.dataplane import (
    ControlConfig,
    EngineConfig,
    JournalConfig,
    LinkConfig,
    SnapshotsConfig,
    ValkeyConfig,
)
from gateway.config.loading import ENV_FILE, ENV_PREFIX, LoadedConfig, load_config
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
from gateway.config.schema import json_schema, setting_schema
from gateway.config.tree import Config, flatten

__all__ = [
    "ENV_FILE",
    "ENV_PREFIX",
    "SOCKET_PATH_BYTES_MAX",
    "ApiConfig",
    "ApprovalsConfig",
    "Config",
    "ControlConfig",
    "CreditConfig",
    "EngineConfig",
    "GatewayConfig",
    "HttpConfig",
    "JournalConfig",
    "LedgerConfig",
    "LimitsConfig",
    "LinkConfig",
    "LoadedConfig",
    "LogConfig",
    "RegistryConfig",
    "ReratingConfig",
    "RidersConfig",
    "RiskConfig",
    "SecurityConfig",
    "SnapshotsConfig",
    "TariffsConfig",
    "ValkeyConfig",
    "WorkerConfig",
    "flatten",
    "json_schema",
    "load_config",
    "setting_schema",
]
