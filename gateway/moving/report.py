"""The cut-over report: the file of the other system against the journal, both ways.

Counted from the journal's records, not from the answers of the run. A break is a line of the file
without its record, a record with another amount, a record that no line asked for, or totals that
do not meet what the other system was said to have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastpath.types import Op, Reason
from gateway.moving.known import KnownStep
from gateway.moving.rows import CardFile, Totals
from gateway.moving.steps import Batch, Step, later_steps, open_step
from gateway.tariffs.units import CURRENCY_BY_NUMBER, format_amount


@dataclass(frozen=True, slots=True)
class Expected:
    """What the other system says it had: control totals that come with the file. None = not said.

    net_minor: by ISO 4217 number.
    """

    rows: int | None = None
    net_minor: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CutOver:
    """The finished comparison. carried: totals found in the journal, by ISO 4217 number."""

    batch: Batch
    file: CardFile
    carried: Mapping[int, Totals]
    breaks: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON, amounts also as text."""
        return {
            "batch": self.batch.name,
            "cutover_us": self.batch.cutover_us,
            "file_sha256": self.file.digest,
            "rows": self.file.row_count,
            "currencies": {
                CURRENCY_BY_NUMBER[number].code: self._compare(number)
                for number in sorted(self.file.totals)
            },
            "breaks": list(self.breaks),
            "reconciled": not self.breaks,
        }

    def _compare(self, number: int) -> dict[str, Any]:
        exponent = CURRENCY_BY_NUMBER[number].exponent
        there, here = self.file.totals[number], self.carried.get(number, Totals())
        return {
            "file": there.as_dict() | {"net": format_amount(there.net_minor, exponent)},
            "journal": here.as_dict() | {"net": format_amount(here.net_minor, exponent)},
        }


def check_expected(file: CardFile, expected: Expected) -> Iterator[str]:
    """The file against the control totals that came with it."""
    if expected.rows is not None and expected.rows != file.row_count:
        yield f"control total: {expected.rows} rows were announced, the file has {file.row_count}"
    for number, net_minor in expected.net_minor.items():
        there = file.totals.get(number, Totals()).net_minor
        if there != net_minor:
            money = CURRENCY_BY_NUMBER[number]
            said, found = (format_amount(one, money.exponent) for one in (net_minor, there))
            yield f"control total: {said} {money.code} was announced, the file has {found}"


def compare(
    batch: Batch, file: CardFile, known: Mapping[bytes, KnownStep], expected: Expected
) -> CutOver:
    """Hold every step of the file against the journal's records of the batch, and back."""
    breaks = list(check_expected(file, expected))
    carried: dict[int, Totals] = {}
    asked: set[bytes] = set()
    for account in file.accounts:
        totals = carried.setdefault(account.rows[0].currency, Totals())
        for step in (open_step(batch, account), *later_steps(batch, account)):
            asked.add(step.operation_id)
            fault = _fault_of(step, known.get(step.operation_id))
            if fault:
                breaks.append(f"line {step.line}: {step.op}: {fault}")
            else:
                _count(totals, step)
    for op_id, record in known.items():
        if op_id not in asked and record.accepted:
            breaks.append(
                f"position {record.position}: {_name(record.op)} of {record.amount_minor} minor "
                f"({record.reference}) stands in the journal and not in the file"
            )
    return CutOver(batch, file, carried, tuple(breaks))


def _fault_of(step: Step, record: KnownStep | None) -> str:
    if record is None:
        return "not in the journal"
    if not record.accepted:
        return f"refused, {Reason(record.reason).name.lower()}"
    if (record.op, record.amount_minor) != (step.kind, step.amount_minor):
        found = f"{_name(record.op)} of {record.amount_minor} minor"
        return f"{found} in the journal instead of {step.amount_minor}"
    return ""


def _count(totals: Totals, step: Step) -> None:
    if step.kind == Op.ACCOUNT_OPEN:
        totals.accounts += 1
    elif step.kind == Op.MEDIUM_LINK:
        totals.media += 1
    elif step.kind == Op.ADJUST:
        totals.debt_minor -= step.amount_minor
    elif step.args.get("purse") == "subsidy":
        totals.subsidy_minor += step.amount_minor
    elif step.kind == Op.CREDIT:
        totals.balance_minor += step.amount_minor


def _name(op: int) -> str:
    return Op(op).name.lower() if op in set(Op) else str(op)
