"""Every code has a status; the document and the code agree; the shapes and the checker agree."""

from __future__ import annotations

import pytest

from fastpath.types import Reason
from gateway.errors import CODES
from gateway.http.catalogue import all_endpoints
from gateway.http.openapi import build_document, codes_of
from gateway.http.problems import FAMILIES, REASONS, STATUS, family_of, status_of
from gateway.registry.scopes import Scope
from gateway.shapes import Shapes


@pytest.mark.parametrize("code", [*CODES, *REASONS])
def test_every_code_has_a_status(code: str) -> None:
    assert code in STATUS or code in REASONS or family_of(code) in FAMILIES
    assert 400 <= status_of(code) < 600


def test_the_table_names_nothing_that_does_not_exist() -> None:
    reasons = {reason.name.lower() for reason in Reason} | {"unknown_operation"}
    assert set(STATUS) <= {*CODES, *reasons}


def test_every_code_of_an_endpoint_exists_and_is_in_the_document() -> None:
    document = build_document(all_endpoints(), Shapes())
    for endpoint in all_endpoints():
        responses = document["paths"][endpoint.path][endpoint.method.lower()]["responses"]
        for code in codes_of(endpoint):
            assert code in CODES or code in REASONS, code
            assert f"`{code}`" in responses[str(status_of(code))]["description"]


def test_scopes_exist_and_names_are_unique() -> None:
    endpoints = all_endpoints()
    assert {scope for one in endpoints for scope in one.scopes} <= set(Scope)
    assert len({one.name for one in endpoints}) == len(endpoints)
    assert all(one.public or one.scopes or one.tag in {"meta", "session"} for one in endpoints)
