"""Make the journal that later versions have to read: `python -m tests.support.keep_journal FILE`.

Run once when the format or the record structs change, into a new file; the old ones stay.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from fastpath.types import TapFlag, TapKind
from gateway.journal.segments import SegmentJournal
from tests.support.plane import Running, make_folder, running

ROLLS_EARLY = "2089000"
"""The largest group for segments of two MiB: they are full after 4 kB."""


async def ride(hands: Running) -> dict[int, int]:
    """Riders, refusals, an upload, corrections; balances by account."""
    riders = [await hands.rider(5000 + 100 * number) for number in range(4)]
    gate = await hands.gate()
    for round_number in range(6):
        for _, token in riders:
            await gate.tap(TapKind.CHECK_IN, token, 11 + round_number % 3)
            await gate.tap(TapKind.CHECK_OUT, token, 12 + round_number % 3)
    flags = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
    kept = [gate.event(TapKind.FLAT, riders[0][1], 11, flags=flags) for _ in range(5)]
    await gate.session.tap_batch(kept)
    await gate.not_passed(kept[0])
    await gate.tap(TapKind.FLAT, b"nobody's medium!", 11)
    account, token = riders[1]
    await hands.call("freeze", account_id=account, what="both")
    await gate.tap(TapKind.FLAT, token, 11)
    await hands.call("medium_state", token=riders[2][1], state="lost")
    return {number: (await hands.account(number))["balance_minor"] for number, _ in riders}


async def make(folder: Path) -> dict[str, object]:
    """A gateway's whole life in `folder`; what has to be found in its journal."""
    flags = {"journal__segment_mib": "2", "engine__group_bytes_max": ROLLS_EARLY}
    config = make_folder(folder, **flags)
    async with running(config) as hands:
        balances = await ride(hands)
    journal = SegmentJournal.open(config.journal.dir, read_only=True)
    head = journal.head()
    journal.close()
    return {
        "position": head.position,
        "chain_hash": head.chain_hash.hex(),
        "balances": balances,
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name, tarfile.open(sys.argv[1], "w:gz") as kept:
        folder = Path(name)
        known = folder / "known.json"
        known.write_text(json.dumps(asyncio.run(make(folder / "town"))))
        kept.add(known, "known.json")
        for path in sorted((folder / "town" / "journal").iterdir()):
            if path.suffix in {".seg", ".root"}:
                kept.add(path, f"journal/{path.name}")


if __name__ == "__main__":
    main()
