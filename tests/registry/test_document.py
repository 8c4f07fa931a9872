"""docs/security.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config import ApprovalsConfig
from gateway.keys import SECRET_NAMES
from gateway.registry.consents import CONSENTABLE
from gateway.registry.persons import FIELD_NAMES
from gateway.registry.scopes import CEILINGS, MEANING, RIDER, Scope, TenantKind

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| `([a-z]+:[a-z]+)` \| (.+) \| (yes|–) \| (yes|–) \| (yes|–) \| (yes|–) \|$", re.M
)
ROWS = {found[1]: found.groups()[1:] for found in ROW.finditer(TEXT)}


@pytest.mark.parametrize("scope", Scope)
def test_the_table_of_scopes_is_that_of_the_code(scope: Scope) -> None:
    may = [
        scope in CEILINGS[TenantKind.CITY],
        scope in CEILINGS[TenantKind.OPERATOR],
        scope in CEILINGS[TenantKind.HOSPITAL],
        scope in RIDER,
    ]
    assert ROWS[scope] == (MEANING[scope], *("yes" if one else "–" for one in may))


def test_the_table_names_no_other_scope() -> None:
    assert set(ROWS) == set(Scope)
    assert CEILINGS[TenantKind.SCHOOL] == CEILINGS[TenantKind.HOSPITAL]


def test_fields_consents_secrets_and_actions_are_all_named() -> None:
    names = [*FIELD_NAMES, *CONSENTABLE, *SECRET_NAMES, *ApprovalsConfig().above_minor]
    assert [name for name in names if f"`{name}`" not in TEXT] == []
