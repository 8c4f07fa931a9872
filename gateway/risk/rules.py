"""Risk rules: TOML files that say what is too much in how short a time, and what then happens.

`load_rules` reads one file and tells all its faults at once. Amounts are int minor units of the
account's currency; windows are seconds. Must not import engines, databases or sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError
from gateway.tariffs.reader import Findings, Table, load_document

FORMAT = 1
KINDS = ("refusals", "spending", "taps", "places")
ACTIONS = ("alert", "freeze_debit", "freeze_both")
WINDOW_MAX_S = 86_400
FREEZE_MAX_S = 366 * 86_400
THRESHOLD_MAX = 1 << 40


@dataclass(frozen=True, slots=True)
class RiskRule:
    """One rule.

    kind: what is counted in the window: refused taps (refusals), money that left for merchants and
    operators in minor units (spending), accepted taps (taps), or different stops at which a rider
    entered or paid (places): nobody is at many at once. threshold: acts when the count is above it.
    freeze_s: how long a freeze lasts, 0 = until somebody lifts it. line: in the rules' file.
    """

    name: str
    kind: str
    window_s: int
    threshold: int
    action: str
    freeze_s: int
    currency: int
    line: int

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return self.window_s * 1_000_000


def load_rules(path: Path) -> tuple[RiskRule, ...]:
    """Read and check a file of rules. Raises: ConfigError RISK_RULES_INVALID with all findings."""
    findings = Findings()
    document = load_document(path, findings)
    if document.data:
        root = Table.root(document, findings)
        root.whole("format", low=FORMAT, high=FORMAT)
        rules = tuple(_rules(root))
        root.close()
        names = [rule.name for rule in rules]
        if len(set(names)) != len(names):
            root.fault("rule", "two rules have one name")
        if not findings.items:
            return rules
    found = sorted(dict.fromkeys(findings.items), key=lambda one: one.line)
    detail = f"{path.name}: {len(found)} faults"
    raise ConfigError("RISK_RULES_INVALID", detail, findings=[str(one) for one in found])


def _rules(root: Table) -> Iterator[RiskRule]:
    for row in root.tables("rule", needed=False):
        rule = RiskRule(
            name=row.text("name"),
            kind=row.choice("kind", KINDS),
            window_s=row.whole("window_s", low=1, high=WINDOW_MAX_S),
            threshold=row.whole("above", high=THRESHOLD_MAX),
            action=row.choice("action", ACTIONS),
            freeze_s=row.whole("freeze_s", 0, high=FREEZE_MAX_S),
            currency=row.whole("currency", 0, high=999),
            line=row.document.line_of(row.path),
        )
        if rule.kind == "spending" and not rule.currency:
            row.fault("currency", "is missing", "ISO 4217 number of the amounts")
        if rule.action == "alert" and rule.freeze_s:
            row.fault("freeze_s", "does nothing with an alert")
        row.close()
        yield rule
