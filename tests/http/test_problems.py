"""Every code has a status; the document and the code agree; the shapes and the checker agree."""

from __future__ import annotations

import re

import pytest

from fastpath.types import ACCEPTED, Reason
from gateway.errors import CODES, CommandError
from gateway.http.catalogue import all_endpoints
from gateway.http.openapi import build_document, codes_of
from gateway.http.problems import FAMILIES, REASONS, STATUS, family_of, problem_of, status_of
from gateway.http.titles import TITLES, title_words
from gateway.ledger.consumption import BudgetState
from gateway.ledger.words import NOTICES, notice_words
from gateway.ledger.words import REASONS as WORDS
from gateway.registry.scopes import Scope
from gateway.shapes import Shapes
from gateway.wallet.commands import is_accepted


@pytest.mark.parametrize("code", [*CODES, *REASONS])
def test_every_code_has_a_status(code: str) -> None:
    assert code in STATUS or code in REASONS or family_of(code) in FAMILIES
    assert 400 <= status_of(code) < 600


@pytest.mark.parametrize("code", [*CODES, *REASONS])
def test_every_code_has_words_for_riders_in_both_languages(code: str) -> None:
    english, chinese = title_words(code, status_of(code))
    assert english.isascii()
    assert english[0].isupper()
    assert re.search(r"[\u4e00-\u9fff]", chinese)


def test_every_reason_has_words_of_its_own() -> None:
    assert set(WORDS) == set(Reason)
    assert len(set(WORDS.values())) == len(WORDS)
    assert set(TITLES) <= set(CODES)


def test_a_problem_says_its_title_in_both_languages() -> None:
    error = CommandError("insufficient_balance", "")
    problem = problem_of(error, "r")
    assert (problem["title"], problem["title_zh"]) == ("The balance is too low", "余额不足")


def test_every_notice_that_is_made_has_words() -> None:
    made = {"account_frozen", "account_unfrozen", "topup_failed"}
    made |= {"credit_due", "credit_late", "credit_statement", "payout_refused"}
    made |= {"medium_linked", "medium_lost", "purse_ending"}
    made |= {f"budget_{state.value}" for state in BudgetState if state is not BudgetState.NONE}
    assert set(NOTICES) == made
    assert notice_words("of_a_newer_program") == ("of_a_newer_program", "of_a_newer_program")


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
    opened = {scope for one in endpoints for scope in one.scopes}
    assert opened == set(Scope) - {Scope.LIMITS_WRITE}, (
        "each opens something, one is kept for later"
    )
    assert len({one.name for one in endpoints}) == len(endpoints)
    assert all(one.public or one.scopes or one.tag in {"meta", "session"} for one in endpoints)


def test_what_took_effect_is_told_by_the_reason_and_not_by_its_spelling() -> None:
    assert {"ok", "ok_overdraft", "ok_debt", "ok_risk"} == ACCEPTED
    assert is_accepted({"reason": "ok_debt"})
    assert not is_accepted({"reason": "okay_but_refused"})
