"""The check of a run, fed from a gateway's data folder: tariffs, journal, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastpath.api import CompiledTariff
from fastpath.records import RecordView, iter_records
from fastpath.reference import SpecBook
from fastpath.types import TariffSpec
from gateway.config import Config, TariffsConfig
from gateway.journals import open_reader
from gateway.resources import calendar_dirs, find_tariff
from gateway.simulate.check import CheckResult, Told, check_run
from gateway.simulate.replay import ReferenceReplay
from gateway.tariffs.loaded import LoadedTariff, load


def load_tariffs(config: TariffsConfig) -> dict[int, LoadedTariff]:
    """The configured tariffs by slot, compiled from their files. Raises: TariffError."""
    calendars = calendar_dirs(config)
    return {
        slot: load(find_tariff(name, config), calendars=calendars)
        for slot, name in config.by_slot().items()
    }


def build_book(specs: Mapping[int, TariffSpec]) -> SpecBook:
    """Tariffs for the reference engine, under the keys that journal records name them by."""
    book = SpecBook()
    for slot, spec in specs.items():
        book.put(slot, CompiledTariff.build(spec).key, spec)
    return book


@dataclass(slots=True)
class JournalSize:
    """What was read."""

    groups: int = 0
    size_bytes: int = 0
    end_position: int = 0


def read_journal(config: Config, size: JournalSize | None = None) -> Iterator[RecordView]:
    """Every record, in order, each group's checksum and chain checked. Raises: Corrupt."""
    journal = open_reader(config)
    try:
        for group in journal.read(0):
            if size is not None:
                size.groups += 1
                size.size_bytes += len(group)
            yield from iter_records(group)
    finally:
        journal.close()


def examine(
    config: Config,
    specs: Mapping[int, TariffSpec],
    *,
    told: Sequence[Told] = (),
    balances: Mapping[int, int] | None = None,
    stops: Mapping[int, int] | None = None,
    on_progress: Callable[[int], None] = lambda records: None,
) -> tuple[CheckResult, JournalSize]:
    """Check a data folder's whole journal (gateway.simulate.check.check_run)."""
    size = JournalSize()
    result = check_run(
        read_journal(config, size),
        ReferenceReplay(build_book(specs)),
        told=told,
        balances=balances,
        stops=stops,
        on_progress=on_progress,
    )
    return result, size
