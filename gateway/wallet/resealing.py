"""Secrets of webhooks, of running sagas and kept answers under the newest registry key, when that
was changed.

What no key here opens stays as it is, and is counted as left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gateway.db import Database
from gateway.errors import ConfigError
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.requests import list_answers, name_of_answer, replace_answers
from gateway.wallet.stores.sagas import SagaRow, SagaStore
from gateway.wallet.stores.webhooks import HookRow, WebhookStore

SEALED = ("tokens", "personal")
"""What of a saga's body is sealed, in hex: a text, or a list of them."""
PAGE = 500


def reseal_webhooks(store: WebhookStore, sealer: Sealer) -> int:
    """Seal every webhook's secrets anew; how many webhooks. One that is changed meanwhile has a
    secret of the newest key already.
    """
    done = 0
    for row in store.list_all():
        try:
            sealed = _again(sealer, row.webhook_id, row.sealed)
            old = _again(sealer, row.webhook_id, row.old_sealed) if row.old_sealed else b""
        except ConfigError:
            continue
        done += store.replace_sealed(row, sealed=sealed, old_sealed=old)
    return done


def count_webhooks_otherwise(store: WebhookStore, sealer: Sealer) -> int:
    """Webhooks with a secret under an older registry key."""
    return sum(not _is_hook_current(row, sealer) for row in store.list_all())


def reseal_sagas(store: SagaStore, sealer: Sealer) -> int:
    """Seal anew what running sagas carry; how many. One that goes on meanwhile is left."""
    done = 0
    for row in store.list_running():
        if _is_saga_current(row, sealer):
            continue
        try:
            body = _changed(row, partial(_again_hex, sealer, row.saga_id))
        except ConfigError:
            continue
        done += store.replace_body(row, body)
    return done


def count_sagas_otherwise(store: SagaStore, sealer: Sealer) -> int:
    """Running sagas that carry something under an older registry key."""
    return sum(not _is_saga_current(row, sealer) for row in store.list_running())


def reseal_answers(database: Database, sealer: Sealer) -> int:
    """Seal kept answers anew, page by page; how many."""
    done = 0
    for page in _old_answers(database, sealer):
        found = []
        for caller, key, answer in page:
            try:
                new = _again(sealer, name_of_answer(caller, key), answer)
            except ConfigError:
                continue
            found.append((caller, key, answer, new))
        done += replace_answers(database, found)
    return done


def count_answers_otherwise(database: Database, sealer: Sealer) -> int:
    """Kept answers under an older registry key."""
    return sum(len(page) for page in _old_answers(database, sealer))


def _old_answers(database: Database, sealer: Sealer) -> Iterator[list[tuple[str, str, bytes]]]:
    after = ("", "")
    while page := list_answers(database, after, PAGE):
        after = page[-1][:2]
        yield [
            (caller, key, answer)
            for caller, key, answer in page
            if not sealer.is_current(name_of_answer(caller, key), answer)
        ]


def _is_hook_current(row: HookRow, sealer: Sealer) -> bool:
    there = [sealed for sealed in (row.sealed, row.old_sealed) if sealed]
    return all(sealer.is_current(row.webhook_id, sealed) for sealed in there)


def _is_saga_current(row: SagaRow, sealer: Sealer) -> bool:
    found: list[bool] = []

    def look(text: str) -> str:
        found.append(sealer.is_current(row.saga_id, bytes.fromhex(text)))
        return text

    _changed(row, look)
    return all(found)


def _changed(row: SagaRow, change: Callable[[str], str]) -> dict[str, Any]:
    """A saga's body with everything sealed in it changed."""
    body = dict(row.body)
    for name in SEALED:
        value = body.get(name)
        if isinstance(value, str) and value:
            body[name] = change(value)
        elif value:
            body[name] = [change(one) for one in value]
    return body


def _again(sealer: Sealer, name: str, sealed: bytes) -> bytes:
    return sealer.seal(name, sealer.open(name, sealed))


def _again_hex(sealer: Sealer, name: str, text: str) -> str:
    return _again(sealer, name, bytes.fromhex(text)).hex()
