"""The suite for all journals, on segments in real files and on the simulated disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.journal.segments import SegmentJournal, SegmentOptions
from tests.support.faultfs import SimDisk
from tests.support.journal_conformance import JournalConformance, JournalWorld
from tests.support.journals import SMALL
from tests.support.overlapped import append_overlapped


class RealWorld:
    def __init__(self, folder: Path, options: SegmentOptions) -> None:
        self.folder = folder
        self.options = options

    def open(self) -> SegmentJournal:
        return SegmentJournal.open(self.folder, self.options)

    def open_reader(self) -> SegmentJournal:
        return SegmentJournal.open(self.folder, read_only=True)


class SimWorld(RealWorld):
    def __init__(self, folder: Path, options: SegmentOptions) -> None:
        super().__init__(folder, options)
        self.disk = SimDisk()

    def open(self) -> SegmentJournal:
        return SegmentJournal.open(self.folder, self.options, files=self.disk)

    def open_reader(self) -> SegmentJournal:
        return SegmentJournal.open(self.folder, self.options, read_only=True, files=self.disk)


class TestSegments(JournalConformance):
    @pytest.fixture(params=["in line", "in background"])
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> JournalWorld:
        background = request.param == "in background"
        options = SegmentOptions(SMALL.segment_bytes, SMALL.group_bytes_max, background=background)
        return RealWorld(tmp_path / "journal", options)


class OverlappedWorld(RealWorld):
    def open(self) -> SegmentJournal:
        return append_overlapped(super().open())


class TestSegmentsInFlight(JournalConformance):
    @pytest.fixture
    def world(self, tmp_path: Path) -> JournalWorld:
        return OverlappedWorld(tmp_path / "journal", SMALL)


class TestSegmentsOnSimulatedDisk(JournalConformance):
    @pytest.fixture
    def world(self, tmp_path: Path) -> JournalWorld:
        return SimWorld(tmp_path / "journal", SMALL)
