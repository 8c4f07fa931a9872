"""The suite for all journals, on a real primary with a real replica."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from gateway.journal.valkey import ValkeyJournal, ValkeyOptions
from tests.support.journal_conformance import JournalConformance, JournalWorld
from tests.support.valkey import Pair, needs_server, started

pytestmark = needs_server
names = itertools.count()


class ValkeyWorld:
    def __init__(self, options: ValkeyOptions) -> None:
        self.options = options

    def open(self) -> ValkeyJournal:
        return ValkeyJournal.open(self.options)

    def open_reader(self) -> ValkeyJournal:
        return ValkeyJournal.open_reader(self.options)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with started(tmp_path_factory.mktemp("valkey")) as servers:
        yield servers


class TestValkey(JournalConformance):
    @pytest.fixture
    def world(self, pair: Pair) -> JournalWorld:
        return ValkeyWorld(pair.options(f"conformance-{next(names)}"))
