"""Feeds made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.feeds import MINIMAL, MakeFeed


@pytest.fixture
def make_feed(tmp_path: Path) -> MakeFeed:
    """A folder with the tables given by name; None leaves one of the minimal feed out."""

    def make(**tables: str | None) -> Path:
        folder = tmp_path / "feed"
        folder.mkdir(exist_ok=True)
        for name, text in (MINIMAL | tables).items():
            if text is not None:
                (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        return folder

    return make
