"""What has to be known about a clearing house."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from adapters.contract import AdapterConfig

Party = Annotated[str, Field(pattern="^[A-Z0-9]{2,12}$")]


class ClearingSettings(AdapterConfig):
    """One clearing house, and what of ours it clears."""

    sender: Party
    """Our code there."""
    receiver: Party
    """Its own code."""
    folder: Path | None = None
    """Exchange over this folder: `in` is what we give, `out` what it gives. Or `url`."""
    url: Annotated[str, Field(pattern="^https?://[^/?#]+(/[^?#]*)?$")] | None = None
    """Exchange over this HTTP interface, with `token_file`. Or `folder`."""
    token_file: Path | None = None
    """File with the token that names us there (mode 0600)."""
    tariff_slots: tuple[Annotated[int, Field(ge=0, le=15)], ...] = ()
    """Tariffs whose fares are cleared there; none named: all."""
    currency: Annotated[int, Field(ge=1, le=999)] = 156
    """Currency of the files, ISO 4217 number."""
    taps_without_fare: bool = True
    """Whether accepted taps that took nothing (check-ins, rides on a pass, capped and free ones)
    are rows with the fare 0; false: for a house that takes no such rows."""
    charset: Literal["UTF8", "GB18030"] = "UTF8"
    """Of the files we make; those that come say theirs."""
    zone: str = "Asia/Shanghai"
    """Zone of its business day, as in the IANA database."""
    day_starts: Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "04:00"
    """Local time at which its business day begins."""
    days_back: Annotated[int, Field(ge=1, le=366)] = 28
    """Files about a business day longer ago are not taken; below engine.op_horizon_days, or changes
    of old deny lists are refused."""
    timeout_s: Annotated[float, Field(gt=0, le=25)] = 20.0
    """How long an answer may take; then the outcome is unknown, and asked about."""
    connect_s: Annotated[float, Field(gt=0, le=25)] = 5.0
    """How long connecting may take; then nothing was done."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.folder is None) == (self.url is None):
            raise ValueError("name a folder or a url")
        if self.url is not None and self.token_file is None:
            raise ValueError("url goes with token_file")
        return self

    def unique_key(self) -> str:
        return f"clearing {self.url or self.folder} {self.sender}"
