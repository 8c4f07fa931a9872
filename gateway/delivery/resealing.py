"""Commands in the outbox under the newest registry key, when that was changed.

Those that are over, too: whoever places one again has to seal it to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select, update

from adapters.contract import Command
from adapters.errors import Misconfigured
from gateway.db import Database
from gateway.delivery.codec import decode_command, encode_command
from gateway.delivery.sealed import MARK, CommandSealer
from gateway.delivery.tables import OUTBOX

BATCH = 500


def reseal_commands(database: Database, sealer: CommandSealer) -> int:
    """Seal what lies under an older key under the current one; how many commands. What no key here
    opens stays as it is: `count_commands_otherwise` tells. Raises: DatabaseError.
    """
    done = 0
    for number, body, command in _sealed_otherwise(database, sealer):
        try:
            again = encode_command(sealer.seal_again(command))
        except Misconfigured:
            continue
        same = (OUTBOX.c.id == number) & (OUTBOX.c.body == body)
        with database.transaction() as connection:
            done += connection.execute(update(OUTBOX).where(same).values(body=again)).rowcount
    return done


def count_commands_otherwise(database: Database, sealer: CommandSealer) -> int:
    """Commands that lie under an older registry key. Raises: DatabaseError."""
    return sum(1 for _ in _sealed_otherwise(database, sealer))


def _sealed_otherwise(
    database: Database, sealer: CommandSealer
) -> Iterator[tuple[int, str, Command]]:
    """Number, body and command of those; read in parts, so that others may write meanwhile."""
    last = 0
    while True:
        query = select(OUTBOX.c.id, OUTBOX.c.body).where(OUTBOX.c.id > last)
        query = query.where(OUTBOX.c.body.contains(MARK)).order_by(OUTBOX.c.id).limit(BATCH)
        with database.reading() as connection:
            rows = list(connection.execute(query))
        if not rows:
            return
        for row in rows:
            last = row.id
            command = decode_command(row.body, attempt=0)
            if not sealer.is_current(command):
                yield row.id, row.body, command
