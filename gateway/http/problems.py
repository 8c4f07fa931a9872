"""Errors as RFC 9457 problems: which status each code has, in one table, and the answer's body.

A test holds STATUS to every code of gateway/errors.py and every refusing Reason of the engine.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from fastpath.types import Reason
from gateway.errors import (
    ApiError,
    ApprovalNeeded,
    CommandError,
    FareGatewayError,
    RateLimited,
    Retry,
    Uncertain,
)
from gateway.http.titles import title_words

CONTENT_TYPE = "application/problem+json"

STATUS: dict[str, int] = {
    # --- the request itself
    "API_INVALID": 422,
    "API_MALFORMED": 400,
    "API_NOT_FOUND": 404,
    "API_METHOD": 405,
    "API_MEDIA_TYPE": 415,
    "API_TOO_LARGE": 413,
    "API_KEY_MISSING": 400,
    "API_KEY_REUSED": 422,
    "API_KEY_IN_FLIGHT": 409,
    "API_KEY_SPENT": 409,
    "API_RATE_LIMITED": 429,
    "API_PRECONDITION": 412,
    "API_PRECONDITION_MISSING": 428,
    "API_TIMEOUT": 504,
    "API_CONFLICT": 409,
    "API_OFF": 503,
    # --- who may
    "AUTH_SCOPE": 403,
    "AUTH_FORBIDDEN": 403,
    "AUTH_STEP_UP": 403,
    "AUTH_SAME_EYES": 403,
    "AUTH_PROOF": 403,
    "AUTH_NO_FACTOR": 409,
    "AUTH_WEAK_PASSWORD": 422,
    "RATE_LIMITED": 429,
    "APPROVAL_NEEDED": 409,
    "REGISTRY_EXISTS": 409,
    "REGISTRY_TAKEN": 409,
    "REGISTRY_CLOSED": 409,
    "REGISTRY_NOT_FOUND": 404,
    "REGISTRY_UNKNOWN": 404,
    "REGISTRY_INVALID": 422,
    "REGISTRY_SCOPE": 422,
    "REGISTRY_FIELD": 422,
    "REGISTRY_ERASED": 410,
    # --- commands
    "LEDGER_NOT_FOUND": 404,
    "LEDGER_FILE_GONE": 409,
    "LEDGER_BREAK": 404,
    "DELIVERY_NOT_FOUND": 404,
    "CREDIT_NOT_FOUND": 404,
    "CREDIT_PLAN_AMOUNT": 422,
    "CREDIT_PLAN_NOT_FOUND": 404,
    "CREDIT_PLAN_TERMS": 422,
    "COMMAND_REFUSED": 409,
    "COMMAND_BAD_ARGUMENT": 422,
    "COMMAND_CEILING": 422,
    "COMMAND_NOT_MERGED": 409,
    "COMMAND_DISK": 503,
    "COMMAND_BUSY": 503,
    "COMMAND_NOT_SENT": 503,
    "UNCERTAIN_OUTCOME": 504,
    "unknown_operation": 404,
    # --- the engine's refusals
    "busy": 503,
    "journal_full": 503,
    "op_too_old": 409,
    "op_conflict": 422,
    "bad_request": 422,
    "bad_time": 422,
    "out_of_service": 503,
    "tariff_not_loaded": 503,
    "unknown_stop": 404,
    "unknown_medium": 404,
    "unknown_account": 404,
    "unknown_hold": 404,
    "unknown_purse": 404,
    "unknown_charge": 404,
    "unknown_plan": 404,
    "currency_mismatch": 422,
    "version_conflict": 412,
    "amount_invalid": 422,
    "amount_overflow": 422,
    "insufficient_balance": 402,
}
"""Status of each code; what is not here has that of its family, and a Reason is 409."""

FAMILIES: dict[str, int] = {
    "API_": 400,
    "AUTH_": 401,
    "CITY_": 404,
    "CLEARING_": 409,
    "CREDIT_": 409,
    "CONFIG_": 500,
    "TARIFF_": 422,
    "WIRE_": 503,
    "JOURNAL_": 503,
    "LEDGER_": 503,
    "AUDIT_": 503,
    "ADAPTER_": 503,
    "APPROVAL_": 409,
    "PERSON_": 409,
    "RERATE_": 409,
    "RISK_": 422,
    "SESSION_": 401,
    "SETTLEMENT_": 409,
    "LIMITS_": 422,
    "MOVING_": 422,
    "SNAPSHOT_": 503,
    "REGISTRY_": 503,
    "DATABASE_": 503,
    "DELIVERY_": 409,
    "COMMAND_": 409,
    "USAGE_": 422,
    "ENV_": 503,
    "BACKUP_": 503,
    "INTERNAL_": 500,
    "INVARIANT_": 500,
}
"""By the word before the first underscore."""

REASONS = frozenset(reason.name.lower() for reason in Reason if not reason.accepted)
HIDDEN = frozenset({"CONFIG_", "WIRE_", "SNAPSHOT_", "INTERNAL_", "INVARIANT_", "DATABASE_"})
"""Families whose detail is for the log, not for a caller."""


def status_of(code: str) -> int:
    """HTTP status of a code; 500 for one that has no place in the tables."""
    if code in STATUS:
        return STATUS[code]
    if code.islower():  # a Reason of the engine
        return 409
    return FAMILIES.get(family_of(code), 500)


def family_of(code: str) -> str:
    """`JOURNAL_FULL` → `JOURNAL_`."""
    return code.partition("_")[0] + "_"


def problem_of(error: FareGatewayError, request_id: str) -> dict[str, Any]:
    """The body of the answer."""
    status = status_of(error.code)
    hidden = family_of(error.code) in HIDDEN
    title, title_zh = title_words(error.code, status)
    body: dict[str, Any] = {
        "type": f"/docs#{error.code}",
        "title": title,
        "title_zh": title_zh,
        "status": status,
        "detail": "" if hidden else error.detail,
        "instance": f"urn:request:{request_id}",
        "code": error.code,
        "hint": error.hint,
        "retryable": error.retry is not Retry.NEVER,
        "retry": str(error.retry),
        "request_id": request_id,
    }
    if isinstance(error, ApiError) and error.faults:
        body["faults"] = list(error.faults)
    if isinstance(error, Uncertain):
        body["operation_id"] = error.operation_id
    if isinstance(error, ApprovalNeeded):
        body["approval_id"] = error.approval_id
    if isinstance(error, CommandError) and (result := getattr(error, "result", None)):
        body["operation"] = {name: result[name] for name in SHOWN if name in result}
    return body


SHOWN = ("op", "account_id", "amount_minor", "balance_minor", "position", "ts_us", "repeated")
"""What a refusal by the engine says besides its reason."""


def title_of(code: str) -> str:
    """`API_KEY_MISSING` → `Api key missing`."""
    return code.replace("_", " ").capitalize()


def problem_response(
    error: FareGatewayError, request_id: str, headers: dict[str, str] | None = None
) -> web.Response:
    """An error as an answer."""
    status = status_of(error.code)
    sent = dict(headers or {})
    if isinstance(error, ApiError | RateLimited) and error.retry_after_s:
        sent["Retry-After"] = str(error.retry_after_s)
    elif status == 503:
        sent["Retry-After"] = "1"
    elif status == 401:
        sent.setdefault("WWW-Authenticate", "Bearer")
    return web.Response(
        body=json.dumps(problem_of(error, request_id)).encode(),
        status=status,
        headers=sent,
        content_type=CONTENT_TYPE,
    )
