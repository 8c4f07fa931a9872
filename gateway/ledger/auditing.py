"""The whole audit: the ledger's copy of the journal, its rows, the trail, the checkpoints.

And the job that signs a checkpoint once a local day.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.db import Database
from gateway.jobs import Job, Tools
from gateway.keys import read_secret
from gateway.ledger.batch import find_watermark
from gateway.ledger.checkpoints import (
    Checkpoint,
    check_checkpoints,
    find_newest,
    list_checkpoints,
    make_checkpoint,
    read_files,
    write_file,
)
from gateway.ledger.days import Calendar
from gateway.ledger.periods import local_date
from gateway.ledger.proof import FINDINGS_MAX, Finding, Told, check_groups, check_rows
from gateway.registry.audit import check_trail, find_head, iter_events

CHECK_S = 60.0
"""How often the job looks whether a day began."""
ACTOR = "system:worker"


@dataclass(slots=True)
class AuditReport:
    """What was looked at and what is wrong."""

    records: int = 0
    audit_events: int = 0
    checkpoints: int = 0
    signed_seq: int = 0
    """Newest journal record under a signature."""
    signed_event: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.findings

    def add(self, findings: Iterable[Finding]) -> None:
        """At most FINDINGS_MAX of each kind of check: a lost chain makes many."""
        for number, finding in enumerate(findings):
            if number == FINDINGS_MAX:
                self.findings.append(Finding(finding.what, "", "and more"))
                return
            self.findings.append(finding)

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        return {
            "records": self.records,
            "audit_events": self.audit_events,
            "checkpoints": self.checkpoints,
            "signed_seq": self.signed_seq,
            "signed_event": self.signed_event,
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an audit works on. copies: the folder of checkpoint files."""

    ledger: Database
    records: Database
    calendar: Calendar
    key: Ed25519PublicKey
    copies: Path


def audit(
    evidence: Evidence, *, rows: bool = True, told: Told = lambda _d, _a: None
) -> AuditReport:
    """Check everything there is in the two databases.

    Args: rows: also project the kept bytes again and compare every row (as long as a rebuild).
    """
    report = AuditReport()
    with evidence.ledger.reading() as ledger, evidence.records.reading() as records:
        report.records = find_watermark(ledger).next_seq - 1
        report.audit_events = find_head(records).seq
        report.add(check_groups(ledger, told))
        trail = check_trail(iter_events(records))
        report.add(Finding("audit", fault.partition(":")[0], fault) for fault in trail)
        copies, faults = read_files(evidence.copies)
        report.add(faults)
        report.add(check_checkpoints(ledger, records, evidence.key, copies))
        _count(report, [*list_checkpoints(records), *copies.values()])
    if rows:
        with tempfile.TemporaryDirectory() as folder:
            report.add(check_rows(evidence.ledger, evidence.calendar, Path(folder), told))
    return report


def _count(report: AuditReport, checkpoints: list[Checkpoint]) -> None:
    report.checkpoints = len({one.number for one in checkpoints})
    for one in checkpoints:
        facts = one.facts()
        report.signed_seq = max(report.signed_seq, facts["journal"]["seq"])
        report.signed_event = max(report.signed_event, facts["audit"]["seq"])


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Raises: ConfigError."""
    return Ed25519PrivateKey.from_private_bytes(read_secret(path))


class CheckpointJob(Job):
    """Signs one checkpoint each local day, as soon as the day began."""

    name = "checkpoints"

    def __init__(
        self,
        tools: Tools,
        key: Ed25519PrivateKey,
        folder: Path,
        *,
        check_s: float = CHECK_S,
    ) -> None:
        self._tools = tools
        self._key = key
        self._folder = folder
        self._zone = ZoneInfo(tools.config.ledger.zone)
        self._check_s = check_s
        self._made = 0
        self._newest_us = 0

    async def run(self) -> None:
        while True:
            await asyncio.to_thread(self.step)
            await asyncio.sleep(self._check_s)

    def step(self) -> Checkpoint | None:
        """Sign one when the newest is of an earlier day. Raises: DatabaseError, LedgerError."""
        now_us = self._tools.now_us()
        with self._tools.registry.reading() as connection:
            newest = find_newest(connection)
        if newest is not None:
            self._newest_us = newest.at_us
            if local_date(newest.at_us, self._zone) >= local_date(now_us, self._zone):
                return None
        ledger = self._tools.open_ledger()
        try:
            made = make_checkpoint(ledger, self._tools.registry, self._key, now_us, ACTOR)
        finally:
            ledger.close()
        write_file(self._folder, made)
        self._made += 1
        self._newest_us = made.at_us
        return made

    def report(self) -> Mapping[str, Any]:
        return {"made": self._made, "newest_us": self._newest_us}


def build_audit_jobs(tools: Tools) -> Iterable[Job]:
    """The jobs of the audit. Raises: ConfigError: the signing key."""
    config = tools.config
    key = read_signing_key(config.security.signing_key_file)
    return [CheckpointJob(tools, key, config.checkpoints_dir)]
