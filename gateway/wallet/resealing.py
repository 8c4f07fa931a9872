"""Webhooks' secrets under the newest registry key, when that was changed."""

from __future__ import annotations

from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.webhooks import WebhookStore


def reseal_webhooks(store: WebhookStore, sealer: Sealer) -> int:
    """Seal every webhook's secrets anew; how many webhooks. One that is changed meanwhile has a
    secret of the newest key already.

    Raises: ConfigError CONFIG_SECRET: the key one was sealed under is not there.
    """
    done = 0
    for row in store.list_all():
        sealed = sealer.seal(row.webhook_id, sealer.open(row.webhook_id, row.sealed))
        old = row.old_sealed
        if old:
            old = sealer.seal(row.webhook_id, sealer.open(row.webhook_id, old))
        done += store.replace_sealed(row, sealed=sealed, old_sealed=old)
    return done
