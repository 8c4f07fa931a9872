"""Logs on standard error: a static event name and fields, one JSON object a line, never a token.

With `log = logging.getLogger(__name__)`: `log.info("recovered", extra={"records": 5})`.
Secrets and tokens are cut out here, for every logger, also those of libraries.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

from gateway.config import LogConfig

MASK = "***"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_EVENT = re.compile(r"[a-z][a-z0-9_]{2,63}")
_FORBIDDEN = re.compile(
    r"(^|_)(token|card|pan|uid|secret|password|passwd|seed|mac|key|authorization|cookie|login|phone|"
    r"email|(id|student|patient|staff)_number)s?$"
)
_CREDENTIAL = re.compile(r"\bfg[ks]_[\w-]{16,}|\beyJ[\w-]+\.[\w-]+\.[\w-]+")
_PUBLIC = re.compile(r"(^|_)(digest|hash|sha256|tariff_key|tariff)$")
_BYTES_LITERAL = re.compile(r"""\bb(['"])(?:\\.|(?!\1).)*\1""", re.DOTALL)
_LONG_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_CARD_NUMBER = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d)")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, process, event, and the record's own fields."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(event_of(record, self.process), ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for a person: time, level, event, fields as name=value."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        event = event_of(record, self.process)
        head = (
            f"{event.pop('ts')} {event.pop('level'):7} {event.pop('process')} {event.pop('event')}"
        )
        del event["logger"]
        return " ".join([head, *(f"{name}={value}" for name, value in event.items())])


def event_of(record: logging.LogRecord, process: str) -> dict[str, object]:
    """A log record as fields, cleaned."""
    message = record.getMessage()
    named = _EVENT.fullmatch(message) is not None
    fields: dict[str, object] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "process": process,
        "event": message if named else "text",
    }
    if not named:
        fields["text"] = clean("text", message)
    fields |= {
        name: clean(name, value) for name, value in vars(record).items() if name not in _STANDARD
    }
    if record.exc_info:
        fields["traceback"] = clean(
            "traceback", logging.Formatter().formatException(record.exc_info)
        )
    return fields


def clean(name: str, value: object) -> object:
    """A field without what must not be logged, by its name and by its looks."""
    if _FORBIDDEN.search(name) and not _PUBLIC.search(name):
        return MASK
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, dict):
        return {str(key): clean(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [clean(name, item) for item in value]
    if isinstance(value, bool | int | float | None):
        return value
    text = str(value)
    if _PUBLIC.search(name):
        return text
    text = _CREDENTIAL.sub(MASK, text)
    text = _LONG_HEX.sub(MASK, _BYTES_LITERAL.sub(MASK, text))
    return _CARD_NUMBER.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    """Digits with a right check digit (Luhn) may be a card number; others are let through."""
    digits = [int(digit) for digit in found[0] if digit.isdigit()][::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return MASK if (sum(digits[::2]) + sum(doubled)) % 10 == 0 else found[0]


def setup_logging(config: LogConfig, process: str) -> None:
    """Send every logger of this process to standard error in the configured form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(process) if config.format == "json" else TextFormatter(process)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    logging.captureWarnings(True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells each plugin it loads
