"""The projector's families of /metrics: from its own page and the data plane's."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.clock import US_PER_S, now_us
from gateway.observability import ledger_page as ledger
from gateway.observability import page
from gateway.observability.family import Family
from gateway.observability.page import PageReader, PageView

UP = Family("fare_ledger_up", "gauge", "1 while the ledger's projector lives.")
LAG_RECORDS = Family(
    "fare_ledger_lag_records", "gauge", "Durable journal records not yet in the ledger."
)
LAG_SECONDS = Family(
    "fare_ledger_lag_seconds", "gauge", "Age of the oldest of them at most; 0 = none."
)
POSITION = Family(
    "fare_ledger_position_bytes", "gauge", "Where the projected part of the journal ends."
)
RECORDS = Family("fare_ledger_records_total", "counter", "Records projected since its start.")
BATCHES = Family("fare_ledger_batches_total", "counter", "Batches, each one transaction.")
BATCH_SECONDS = Family("fare_ledger_batch_seconds", "gauge", "How long the last batch took.")

LEDGER_FAMILIES = (UP, LAG_RECORDS, LAG_SECONDS, POSITION, RECORDS, BATCHES, BATCH_SECONDS)
"""Every family of this collector."""


class LedgerCollector(Collector):
    """Reads both pages at each scrape; only `fare_ledger_up 0` when there is no projector."""

    def __init__(self, own: PageReader, data: PageReader) -> None:
        self._own = own
        self._data = data

    def collect(self) -> Iterator[Metric]:
        view = self._own.read()
        up = view is not None and view.writer_lives()
        yield GaugeMetricFamily(UP.name, UP.help, value=int(up))
        if view is not None:
            yield from _families(view, self._data.read())


def _families(view: PageView, data: PageView | None) -> Iterator[Metric]:
    lag = find_lag(view, data)
    gauges = {
        LAG_RECORDS: lag[0],
        LAG_SECONDS: lag[1] / US_PER_S,
        POSITION: view[ledger.POSITION],
        BATCH_SECONDS: view[ledger.BATCH_US] / US_PER_S,
    }
    for family, value in gauges.items():
        yield GaugeMetricFamily(family.name, family.help, value=value)
    yield CounterMetricFamily(RECORDS.name, RECORDS.help, value=view[ledger.RECORDS])
    yield CounterMetricFamily(BATCHES.name, BATCHES.help, value=view[ledger.BATCHES])


def find_lag(view: PageView, data: PageView | None) -> tuple[int, int]:
    """(records, microseconds) by which the ledger is behind what is durable."""
    durable_seq = data[page.DURABLE_SEQ] if data is not None else 0
    records = max(0, durable_seq - view[ledger.SEQ])
    if records == 0:
        return 0, 0
    seen_us = max(view[ledger.GROUP_US], view[ledger.CAUGHT_UP_US], view[ledger.STARTED_US])
    return records, max(0, now_us() - seen_us)
