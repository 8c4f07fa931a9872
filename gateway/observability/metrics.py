"""/metrics: a collector that reads the shared page at each scrape: a stuck data plane is seen.

Names begin with `fare_` and use base units. Label sets are fixed: no account, validator or token.
Every family is in CATALOGUE; docs/metrics.md is made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from fastpath.types import Reason, TapKind
from gateway.clock import US_PER_S, now_us
from gateway.config import Config
from gateway.link.codes import WireCode
from gateway.observability import page
from gateway.observability.family import Family, Kind
from gateway.observability.ledger_metrics import LEDGER_FAMILIES
from gateway.observability.page import Histogram, PageReader, PageView, PlaneState
from gateway.observability.worker_metrics import WORKER_FAMILIES

TAPS = Family("fare_taps_total", "counter", "Taps decided, by kind and reason.", ("kind", "reason"))
COMMANDS = Family("fare_commands_total", "counter", "Commands decided, by reason.", ("reason",))
FRAME_ERRORS = Family(
    "fare_frame_errors_total", "counter", "Bad frames, by error of the link.", ("error",)
)
TAP_SECONDS = Family(
    "fare_tap_seconds",
    "histogram",
    "From reading a tap's frame until its durable answer is handed to the socket.",
)
COMMIT_SECONDS = Family(
    "fare_commit_seconds", "histogram", "One durable group commit: write and sync."
)
UP = Family("fare_data_plane_up", "gauge", "1 while the data plane's process lives.")
STATE = Family("fare_data_plane_state", "gauge", "1 for the state it is in.", ("state",))
TARIFF = Family(
    "fare_tariff_in_force",
    "gauge",
    "1 while a version is in force; key names it.",
    ("slot", "tariff", "key"),
)
TARIFF_VERSIONS = Family(
    "fare_tariff_versions", "gauge", "Versions of a tariff loaded.", ("slot", "tariff")
)
COMMIT_RUNNING = Family(
    "fare_commit_running_seconds", "gauge", "Age of the commit under way; 0 = none."
)


def _number(name: str, slot: int, says: str) -> Family:
    """A family that is one slot: its name tells kind and unit."""
    kind: Kind = "counter" if name.endswith("_total") else "gauge"
    return Family(name, kind, says, (), slot, US_PER_S if name.endswith("_seconds") else 1)


PLAIN = (
    _number("fare_start_time_seconds", page.STARTED_US, "When it started, unix time."),
    _number(
        "fare_heartbeat_time_seconds",
        page.HEARTBEAT_US,
        "Last sign of life of its loop, unix time.",
    ),
    _number("fare_loop_seconds", page.LOOP_US, "Length of the loop's last turn."),
    _number("fare_loop_max_seconds", page.LOOP_MAX_US, "Longest turn since the start."),
    _number("fare_journal_position_bytes", page.JOURNAL_POSITION, "End of the last durable group."),
    _number("fare_journal_records", page.DURABLE_SEQ, "Number of the last durable record."),
    _number("fare_commit_bytes_total", page.COMMIT_BYTES, "Bytes made durable."),
    _number("fare_commit_records_total", page.COMMIT_RECORDS, "Records made durable."),
    _number(
        "fare_commit_in_thread", page.COMMIT_THREAD, "1 while commits happen in the helper thread."
    ),
    _number(
        "fare_rollbacks_total", page.ROLLBACKS, "Groups undone because the journal had no room."
    ),
    _number("fare_sessions", page.SESSIONS, "Validator sessions open."),
    _number("fare_sessions_opened_total", page.SESSIONS_TOTAL, "Sessions whose hello succeeded."),
    _number(
        "fare_sessions_refused_total", page.SESSIONS_REFUSED, "Hellos and connections refused."
    ),
    _number("fare_queued_taps", page.QUEUED_TAPS, "Taps decided that wait for their commit."),
    _number("fare_duplicate_taps_total", page.DUPLICATES, "Taps sent again, answered from memory."),
    _number("fare_received_bytes_total", page.BYTES_IN, "Bytes read from validators."),
    _number("fare_sent_bytes_total", page.BYTES_OUT, "Bytes written to validators."),
    _number("fare_devices", page.DEVICES, "Active validators known."),
    _number("fare_denylist_version", page.DENYLIST_VERSION, "Version of the deny list."),
    _number("fare_service_mode", page.SERVICE_MODE, "Mode ordered from validators; 0 = none."),
    _number("fare_accounts", page.ACCOUNTS, "Accounts in memory."),
    _number("fare_media", page.MEDIA, "Media in memory."),
    _number("fare_account_cells", page.CELLS, "Extension cells in use."),
    _number("fare_device_windows", page.WINDOWS, "Device boots whose taps are remembered."),
    _number("fare_operations", page.OPERATIONS, "Operation ids remembered."),
    _number("fare_engine_memory_bytes", page.MEMORY_BYTES, "Memory of the engine's tables."),
    _number("fare_disk_state", page.DISK_STATE, "0 ok, 1 warning, 2 commands refused, 3 full."),
    _number("fare_disk_free_bytes", page.DISK_FREE_BYTES, "Free on the journal's disk."),
    _number("fare_disk_size_bytes", page.DISK_TOTAL_BYTES, "Size of the journal's disk."),
    _number("fare_recovery_seconds", page.RECOVERY_US, "How long the last start took to recover."),
    _number("fare_recovered_records", page.RECOVERED_RECORDS, "Records read after the snapshot."),
    _number(
        "fare_recovered_cut_bytes", page.RECOVERED_CUT_BYTES, "Torn tail cut off at the start."
    ),
    _number("fare_engine_version", page.ENGINE_VERSION, "Version of the decisions."),
    _number("fare_struct_version", page.STRUCT_VERSION, "Version of the records."),
)

CATALOGUE = (
    UP,
    STATE,
    TAPS,
    TAP_SECONDS,
    COMMANDS,
    FRAME_ERRORS,
    COMMIT_SECONDS,
    COMMIT_RUNNING,
    TARIFF,
    TARIFF_VERSIONS,
    *PLAIN,
    *WORKER_FAMILIES,
    *LEDGER_FAMILIES,
)
"""Every family /metrics may hold."""

BOUNDS_US = tuple(1 << power for power in range(3, 25))
"""Bounds of the histograms: 8 us to 16.8 s, doubling."""


class PageCollector(Collector):
    """All families from one copy of the page, or only `fare_data_plane_up 0` when there is none."""

    def __init__(self, reader: PageReader, config: Config) -> None:
        self._reader = reader
        self._config = config

    def collect(self) -> Iterator[Metric]:
        view = self._reader.read()
        yield _gauge(UP, int(view is not None and view.writer_lives()))
        if view is not None:
            yield from _page_families(view, self._config)


def _page_families(view: PageView, config: Config) -> Iterator[Metric]:
    yield _states(view)
    yield _by_reason(TAPS, _tap_counts(view))
    yield _histogram(TAP_SECONDS, view.histogram(page.LATENCY, page.LATENCY_SUM_US))
    yield _by_reason(COMMANDS, _counts(view, page.COMMANDS, page.REASONS, Reason))
    errors = _counts(view, page.FRAME_ERRORS, page.FRAME_ERROR_KINDS, WireCode)
    yield _by_reason(FRAME_ERRORS, errors)
    yield _histogram(COMMIT_SECONDS, view.histogram(page.COMMIT, page.COMMIT_SUM_US))
    yield _gauge(COMMIT_RUNNING, _commit_age_us(view) / US_PER_S)
    yield from _tariffs(view, config)
    for family in PLAIN:
        yield _plain(family, view[family.slot])


def _gauge(family: Family, value: float) -> Metric:
    return GaugeMetricFamily(family.name, family.help, value=value)


def _plain(family: Family, number: int) -> Metric:
    value = number / family.divisor if family.divisor != 1 else number
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return make(family.name, family.help, value=value)


def _states(view: PageView) -> Metric:
    metric = GaugeMetricFamily(STATE.name, STATE.help, labels=STATE.labels)
    for state in PlaneState:
        metric.add_metric([state.name.lower()], int(view[page.STATE] == state))
    return metric


def _by_reason(family: Family, counts: Iterable[tuple[list[str], int]]) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for labels, count in counts:
        metric.add_metric(labels, count)
    return metric


def _tap_counts(view: PageView) -> Iterator[tuple[list[str], int]]:
    for kind in TapKind:
        first = page.TAPS + kind * page.REASONS
        for labels, count in _counts(view, first, page.REASONS, Reason):
            yield [kind.name.lower(), *labels], count


def _counts(
    view: PageView, first: int, size: int, names: type[IntEnum]
) -> Iterator[tuple[list[str], int]]:
    """Counters of a run of slots; known ones also at 0, so that a rate has a beginning."""
    known = {item.value: item.name.lower() for item in names}
    for number, count in enumerate(view.run(first, size)):
        if count or number in known:
            yield [known.get(number, f"number_{number}")], count


def _histogram(family: Family, histogram: Histogram) -> Metric:
    buckets = [(str(bound / US_PER_S), histogram.below_us(bound)) for bound in BOUNDS_US]
    buckets.append(("+Inf", histogram.count))
    return HistogramMetricFamily(
        family.name, family.help, buckets=buckets, sum_value=histogram.sum_us / US_PER_S
    )


def _commit_age_us(view: PageView) -> int:
    if view[page.COMMIT_STATE] != page.CommitState.WRITING:
        return 0
    return max(now_us() - view[page.COMMIT_SINCE_US], 0)


def _tariffs(view: PageView, config: Config) -> Iterator[Metric]:
    in_force = GaugeMetricFamily(TARIFF.name, TARIFF.help, labels=TARIFF.labels)
    versions = GaugeMetricFamily(
        TARIFF_VERSIONS.name, TARIFF_VERSIONS.help, labels=TARIFF_VERSIONS.labels
    )
    for slot, name in config.tariffs.by_slot().items():
        key = view.tariff_key(slot)
        in_force.add_metric([str(slot), name, f"{key:016x}"], int(key != 0))
        versions.add_metric([str(slot), name], view[page.TARIFF_VERSIONS + slot])
    yield in_force
    yield versions
