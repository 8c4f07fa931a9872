"""Settings of what decides by files of its own: tariffs, limits, credit, risk, re-rating."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, Strict

from gateway.config.values import RULES, Seconds, SlotNumber, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffsConfig:
    """Which tariffs are loaded. Tariffs themselves are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    dirs: tuple[Path, ...] = ()
    """Folders searched before the tariffs that come with faregate."""
    slots: dict[SlotNumber, Text] = field(
        default_factory=lambda: {"1": "beijing-subway", "2": "beijing-bus"}
    )
    """Tariff of each slot (0-15); a device belongs to one slot. Naming any replaces this list."""

    def by_slot(self) -> dict[int, str]:
        """Slot number → tariff id, ascending."""
        return {int(slot): name for slot, name in sorted(self.slots.items(), key=_slot_order)}


def _slot_order(item: tuple[str, str]) -> int:
    return int(item[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """Which limits of identity tiers are in force. Limits themselves are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    dirs: tuple[Path, ...] = ()
    """Folders searched before the limits that come with faregate."""
    profile: str = ""
    """Name of limits, as in `faregate limits list`; empty = nobody has any (docs/limits.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditConfig:
    """Credit lines: who rides first and pays later. Policies are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    dirs: tuple[Path, ...] = ()
    """Folders searched before the policies that come with faregate."""
    every_s: Seconds = 5
    """How often the worker looks for statements to close, repayments and due dates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskConfig:
    """Rules that follow the records and freeze accounts. Rules are files of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
    rules: tuple[Text, ...] = ()
    """Names of files of rules, as in config/risk, or paths; none = nothing is watched."""
    dirs: tuple[Path, ...] = ()
    """Folders searched before the rules that come with faregate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReratingConfig:
    """Re-rating: late and undone taps priced again, incomplete journeys completed later."""

    __pydantic_config__: ClassVar[ConfigDict] = RULES
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
