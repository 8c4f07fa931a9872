"""The numbers of types.py and those that C code is built with are the same."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from fastpath import cells, layers, reference_model, types

FOLDER = Path(types.__file__).parent
NUMBERS = {
    name: int(number, 0)
    for name, number in re.findall(
        r"^    ([A-Z][A-Z0-9_]+) = (0x[0-9A-F]+|\d+)",
        (FOLDER / "_layout.pxd").read_text(encoding="utf-8"),
        re.M,
    )
}
PREFIXES: dict[str, type[IntEnum] | type[types.IntFlag]] = {
    "KIND": types.TapKind,
    "MEDIUM_KIND": types.MediumKind,
    "MEDIUM": types.MediumState,
    "ACCOUNT": types.AccountStatus,
    "JOURNEY": types.JourneyState,
    "VERDICT": types.Verdict,
    "REASON": types.Reason,
    "OP": types.Op,
    "ITEM": types.Item,
    "TAP": types.TapFlag,
    "RULE": types.Rule,
    "CAP_OWNER": types.CapOwner,
    "MISSING_CHECK_IN": types.MissingCheckIn,
    "MONTH_BASIS": types.MonthBasis,
    "PART": types.FarePart,
    "ACT": types.Act,
    "FACT": types.FactFlag,
    "PURPOSE": types.Purpose,
    "CELL": cells.CellType,
}
EXPECTED = {f"{prefix}_{one.name}": int(one) for prefix, kind in PREFIXES.items() for one in kind}
del EXPECTED["CELL_FREE"]  # a place without a cell, no cell


def test_every_number_of_types_is_in_c() -> None:
    assert {name: NUMBERS.get(name) for name in EXPECTED} == EXPECTED


def test_c_has_no_other_numbers_under_these_prefixes() -> None:
    own = {"LEGS_MAX"}
    inner = ("ENTRY_", "LAST_")
    others = {name for name in NUMBERS if not name.startswith(inner)} - own
    assert others == set(EXPECTED)


@pytest.mark.parametrize(
    ("c_name", "value"),
    [
        ("LEGS_MAX", reference_model.LEGS_MAX),
        ("ENTRY_DISCOUNT_MASK", reference_model.DISCOUNT_MASK),
        ("ENTRY_PREV_DISCOUNT_SHIFT", reference_model.PREV_DISCOUNT_SHIFT),
        ("LAST_PREV_DONE", reference_model.LAST_PREV_DONE),
        ("LAST_NO_JOURNEY", reference_model.LAST_NO_JOURNEY),
        ("LAST_LEGS_SHIFT", reference_model.LAST_LEGS_SHIFT),
    ],
)
def test_flags_of_the_account_are_the_same(c_name: str, value: int) -> None:
    assert NUMBERS[c_name] == value


LAYER_PREFIXES: dict[str, type[IntEnum]] = {
    "ROUND": layers.RoundMode,
    "OVERSTAY": layers.OverstayKind,
    "SAME_STOP": layers.SameStopKind,
    "EFFECT": layers.TransferEffect,
    "MEASURED": layers.Measured,
    "BEGINS": layers.Begins,
    "WINDOW": layers.Window,
    "MEASURE": layers.Measure,
    "PERIOD": layers.PeriodKind,
}


def test_numbers_of_layers_are_in_c() -> None:
    text = (FOLDER / "_layers.pxd").read_text(encoding="utf-8")
    found = {
        name: int(number)
        for name, number in re.findall(r"^    ([A-Z][A-Z_]+) = (\d+)$", text, re.M)
    }
    limits = ("NETWORKS_MAX", "CATEGORIES_MAX", "MEDIA_MAX", "COUNTERS_MAX", "PERIOD_RULES_MAX")
    expected = {
        f"{prefix}_{one.name}": int(one) for prefix, kind in LAYER_PREFIXES.items() for one in kind
    }
    expected |= {name: getattr(layers, name) for name in (*limits, "PASS_CELLS_MAX")}
    assert found == expected


def test_struct_version_is_the_same() -> None:
    header = (FOLDER / "layout.h").read_text(encoding="utf-8")
    assert f"#define FAREGATE_STRUCT_VERSION {types.STRUCT_VERSION}\n" in header


def test_every_reason_is_accepted_or_refused_by_its_number() -> None:
    accepted = {one for one in types.Reason if one.accepted}
    assert accepted == {
        types.Reason.OK,
        types.Reason.OK_OVERDRAFT,
        types.Reason.OK_DEBT,
        types.Reason.OK_RISK,
    }
