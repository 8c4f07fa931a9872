"""What a command was refused goes into the audit trail, for every command in one place.

A refusal that is a record of the journal is there already, with who and when.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from gateway.commands.common import build_actor, load_settings, say
from gateway.errors import FareGatewayError

SUBJECTS = {
    "account_id": "account",
    "account": "account",
    "approval": "approval",
    "person": "person",
    "tenant": "tenant",
    "merchant": "merchant",
    "device_id": "device",
}
"""Arguments that name what a command is about, and of what kind that is. Nothing else a user wrote
is kept: it may be somebody's name, or a token.
"""


def note_refusals(command: Any, name: str = "") -> None:
    """Let a command, and all below it, say what it was refused."""
    for word, below in getattr(command, "commands", {}).items():
        note_refusals(below, f"{name}.{word}" if name else word)
    takes = {one.name for one in command.params}
    if command.callback is not None and {"config", "replaced"} <= takes:
        command.callback = _noting(command.callback, name)


def _noting(run: Callable[..., Any], action: str) -> Callable[..., Any]:
    @wraps(run)
    def noting(**given: Any) -> Any:
        try:
            return run(**given)
        except FareGatewayError as error:
            _write(action, given, error)
            raise

    return noting


def _write(action: str, given: dict[str, Any], error: FareGatewayError) -> None:
    from gateway.bootstrap import build_registry
    from gateway.registry.refusals import is_told_nowhere, write_refusal

    if not is_told_nowhere(error):
        return
    try:
        database = build_registry(load_settings(given["config"], given["replaced"]).config)
        try:
            write_refusal(database, build_actor(), action, _subject(given), error)
        finally:
            database.close()
    except FareGatewayError as failed:
        say(f"the audit trail does not have this refusal: {failed}")


def _subject(given: dict[str, Any]) -> str:
    found = (f"{SUBJECTS[name]}:{given[name]}" for name in SUBJECTS if given.get(name))
    return next(found, "")
