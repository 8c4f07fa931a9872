"""A feed ready for use: loaded, checked, compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.tariffs.gtfs.build import Built, build_tariff
from gateway.tariffs.gtfs.check import check_feed
from gateway.tariffs.gtfs.findings import Finding, Findings
from gateway.tariffs.gtfs.load import load_feed
from gateway.tariffs.gtfs.settings import FeedSettings
from gateway.tariffs.gtfs.suspicious import warn_of_feed
from gateway.tariffs.gtfs.tables import Feed


@dataclass(frozen=True, slots=True)
class LoadedFeed:
    """One feed with its tariff. warnings: what a person should know, by file and line."""

    path: Path
    feed: Feed
    settings: FeedSettings
    built: Built
    warnings: tuple[Finding, ...]


def load(path: Path, settings: FeedSettings | None = None) -> LoadedFeed:
    """Load, check and compile a folder or zip file.

    Raises: TariffError: TARIFF_FEED with all errors and warnings.
    """
    settings = settings or FeedSettings()
    findings = Findings()
    feed = load_feed(path, findings, settings.switches)
    check_feed(feed, findings)
    findings.raise_if_any()
    built = build_tariff(feed, settings, findings)
    warn_of_feed(feed, settings, built, findings)
    findings.raise_if_any()
    return LoadedFeed(path, feed, settings, built, tuple(findings.warnings()))


def inspect(path: Path, settings: FeedSettings | None = None) -> list[Finding]:
    """Everything that is wrong or suspicious, errors first."""
    settings = settings or FeedSettings()
    findings = Findings()
    feed = load_feed(path, findings, settings.switches)
    check_feed(feed, findings)
    if not any(findings.errors()):
        warn_of_feed(feed, settings, build_tariff(feed, settings, findings), findings)
    return [*findings.errors(), *findings.warnings()]
