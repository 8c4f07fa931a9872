"""Which adapters there are, and those that are configured: found by name, checked, made.

Kinds are our own and those of the entry-point group `faregate.adapters`; none is imported before
it is named in a setting. No adapter is opened here and no peer is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from adapters.contract import API_LEVEL, ENTRY_POINT_GROUP, Adapter, BadSettings, Capability
from gateway.config import Config
from gateway.errors import ConfigError

BUILT_IN = {
    "bank": "adapters.funding.bank.adapter:BankAdapter",
    "clearing": "adapters.transit.clearing.adapter:ClearingAdapter",
}
"""Kinds that come with faregate."""


@dataclass(frozen=True, slots=True)
class Configured:
    """One adapter of the settings, not open."""

    name: str
    kind: str
    adapter: Adapter[Any]

    @property
    def is_told(self) -> bool:
        """Whether it takes commands (all but reading and listening)."""
        return bool(self.adapter.info.capabilities - _NO_COMMANDS)


_NO_COMMANDS = frozenset({"quote", "lookup", "stream", "inbound"})


def list_kinds() -> dict[str, str]:
    """Every kind and what it is loaded from."""
    found = {one.name: one.value for one in entry_points(group=ENTRY_POINT_GROUP)}
    return dict(sorted((found | BUILT_IN).items()))


def load_kind(kind: str) -> type[Adapter[Any]]:
    """Import an adapter's class. Raises: ConfigError: unknown, broken, or of a newer contract."""
    place = list_kinds().get(kind)
    if place is None:
        known = ", ".join(list_kinds())
        raise ConfigError("ADAPTER_UNKNOWN", f"there is no adapter {kind}: {known}")
    try:
        found = EntryPoint(kind, place, ENTRY_POINT_GROUP).load()
    except (ImportError, AttributeError) as error:
        raise ConfigError("ADAPTER_BROKEN", f"{kind} ({place}): {error}") from error
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise ConfigError("ADAPTER_BROKEN", f"{kind} ({place}) is no Adapter")
    level = found.info.api_level
    if level > API_LEVEL:
        detail = f"{kind} needs level {level} of the contract, this is {API_LEVEL}"
        raise ConfigError("ADAPTER_TOO_NEW", detail)
    return found


def load_adapters(config: Config) -> dict[str, Configured]:
    """Every configured adapter. Raises: ConfigError with all findings."""
    found: dict[str, Configured] = {}
    findings: list[str] = []
    for name in sorted(config.adapters):
        try:
            found[name] = load_adapter(config, name)
        except ConfigError as error:
            findings += error.findings or [f"adapters.{name}: {error.detail}"]
    findings += _same_peer(found)
    if findings:
        raise ConfigError(findings=findings)
    return found


def load_adapter(config: Config, name: str) -> Configured:
    """One configured adapter. Raises: ConfigError."""
    settings = config.adapters.get(name)
    if settings is None:
        known = ", ".join(sorted(config.adapters)) or "none"
        raise ConfigError("ADAPTER_UNKNOWN", f"no adapter {name} is configured: {known}")
    kind = settings.get("kind")
    if not isinstance(kind, str):
        raise ConfigError(findings=[f"adapters.{name}.kind: one of {', '.join(list_kinds())}"])
    made = load_kind(kind)
    values = {key: value for key, value in settings.items() if key != "kind"}
    try:
        read = made.config_model.read(values, config.gateway.data_dir)
    except BadSettings as error:
        raise ConfigError(findings=[f"adapters.{name}.{one}" for one in error.findings]) from error
    return Configured(name, kind, made(read))


def list_banks(config: Config) -> frozenset[str]:
    """Banks of the settings that pay out. Raises: ConfigError."""
    wanted = [name for name, one in config.adapters.items() if one.get("kind") == "bank"]
    found = [load_adapter(config, name) for name in wanted]
    return frozenset(one.name for one in found if pays_out(one))


def pays_out(configured: Configured) -> bool:
    """Whether it is a bank that takes refunds to bank accounts."""
    return configured.kind == "bank" and Capability.REFUND in configured.adapter.info.capabilities


def _same_peer(found: Mapping[str, Configured]) -> Iterator[str]:
    """Two that would speak to one peer would do everything twice there."""
    seen: dict[str, str] = {}
    for name, one in found.items():
        key = one.adapter.config.unique_key()
        if key in seen:
            yield f"adapters.{name}: the same peer as adapters.{seen[key]}"
        seen.setdefault(key, name)


def render_schema(kind: str) -> str:
    """JSON Schema of an adapter's settings, for editors."""
    schema = load_kind(kind).config_model.model_json_schema()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def load_bench(kind: str) -> Any:
    """The class of an adapter's bench for the conformance kit. Raises: ConfigError."""
    place = load_kind(kind).bench
    module, _, name = place.partition(":")
    if not place:
        raise ConfigError("ADAPTER_NO_BENCH", f"{kind} names no bench")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError("ADAPTER_BROKEN", f"{kind} ({place}): {error}") from error
