"""The tree of errors: codes, hints, and what a caller may do."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpath.types import Reason
from gateway import errors
from gateway.errors import CODES, FareGatewayError, Retry
from gateway.link.codes import WIRE_RULES
from gateway.refusals import REFUSALS

GATEWAY = Path(errors.__file__).parent
CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, FareGatewayError)
    and not kind.__name__.startswith("_")
]
LINK_CODES = {f"WIRE_{code.name}" for code in WIRE_RULES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_class_stands_in_the_drawn_tree_and_has_a_hint(kind: type[FareGatewayError]) -> None:
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")
    error = kind()
    assert error.code in CODES
    assert error.hint == CODES[error.code]
    assert error.retry in Retry


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_text_and_json_carry_the_same(kind: type[FareGatewayError]) -> None:
    error = kind("X_CODE", "what happened", "what to do", Retry.SAFE)
    assert str(error) == "X_CODE: what happened (what to do)"
    wanted = {"code": "X_CODE", "detail": "what happened", "hint": "what to do", "retry": "safe"}
    assert {key: error.as_dict()[key] for key in wanted} == wanted


def test_findings_become_the_detail() -> None:
    error = errors.ConfigError(findings=["a: wrong", "b: missing"])
    assert error.detail == "a: wrong; b: missing"
    assert error.as_dict()["findings"] == ["a: wrong", "b: missing"]
    assert isinstance(error, ValueError)


def test_an_uncertain_outcome_is_never_safe_to_retry() -> None:
    error = errors.Uncertain(operation_id="0199")
    assert error.retry is Retry.UNKNOWN
    assert error.as_dict()["operation_id"] == "0199"
    assert not isinstance(error, errors.CommandError)


def test_errors_cross_a_process_boundary() -> None:
    """Worker pools pickle what they raise."""
    again = pickle.loads(
        pickle.dumps(errors.Corrupt("JOURNAL_CORRUPT", "bad", path="/x", offset=8))
    )
    assert (again.code, again.detail, again.path, again.offset) == (
        "JOURNAL_CORRUPT",
        "bad",
        "/x",
        8,
    )


def _codes_in(path: Path) -> Iterator[tuple[int, str]]:
    """String literals that look like codes, where they are passed to something that is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, argument.value


PREFIXES = {code.split("_")[0] for code in CODES}


def test_every_code_used_is_declared() -> None:
    undeclared = [
        f"{path.relative_to(GATEWAY)}:{line}: {code}"
        for path in sorted(GATEWAY.rglob("*.py"))
        for line, code in _codes_in(path)
        if re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)+", code)
        and code.split("_")[0] in PREFIXES
        and code not in CODES
        and code not in LINK_CODES
    ]
    assert undeclared == []


def test_every_declared_code_is_used() -> None:
    """A code nobody raises is a promise nobody keeps."""
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in GATEWAY.rglob("*.py")
        if path.name != "errors.py"
    )
    own = (GATEWAY / "errors.py").read_text(encoding="utf-8")
    unused = [
        code
        for code in CODES
        if f'"{code}"' not in sources
        and f'default_code = "{code}"' not in own
        and code not in LINK_CODES
        and code not in REFUSALS
    ]
    assert unused == []


def test_every_refusal_of_the_engine_says_what_to_do() -> None:
    refusing = {reason.name.lower() for reason in Reason if not reason.accepted}
    assert set(REFUSALS) == refusing | {"unknown_operation"}
    assert all(errors.CommandError(code).hint == REFUSALS[code] for code in REFUSALS)
