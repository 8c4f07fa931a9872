"""Kinds of values that settings take, and what pydantic keeps to in every section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Strict

RULES = ConfigDict(extra="forbid", use_attribute_docstrings=True)

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
