"""What has to be known about a bank."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from adapters.contract import AdapterConfig


class BankSettings(AdapterConfig):
    """One bank and one account of ours there."""

    url: Annotated[str, Field(pattern="^https?://[^/?#]+(/[^?#]*)?$")]
    """Address of its interface; https outside of this machine."""
    account: Annotated[str, Field(min_length=1, max_length=34)]
    """Our account there, as its statements name it."""
    currency: Annotated[int, Field(ge=1, le=999)] = 156
    """Currency of that account, ISO 4217 number."""
    token_file: Path
    """File with the token that names us there (mode 0600)."""
    webhook_key_file: Path
    """File with the key that proves its messages (mode 0600)."""
    webhook_age_s: Annotated[int, Field(ge=10, le=3600)] = 300
    """Messages signed longer ago, or later than now, are refused."""
    timeout_s: Annotated[float, Field(gt=0, le=25)] = 15.0
    """How long an answer may take; then the outcome is unknown, and asked about."""
    connect_s: Annotated[float, Field(gt=0, le=25)] = 5.0
    """How long connecting may take; then nothing was done."""

    def unique_key(self) -> str:
        return f"bank {self.url} {self.account}"
