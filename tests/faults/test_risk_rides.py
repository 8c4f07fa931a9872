"""A stranger's ride that a gate let through is the operator's loss: no recount may take it for a
rider's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from benchmarks.crash_recount import Recount
from fastpath.types import Reason, TapFlag, TapKind
from tests.support.plane import make_folder, random_token, running

RECOUNT = Path(__file__).parents[2] / "examples" / "recount.py"
FARE_MINOR = 150


async def test_both_recounts_know_whose_loss_it_is(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    flags = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
    async with running(config) as hands:
        await hands.rider(100)
        gate = await hands.gate()
        answer = await gate.tap(TapKind.FLAT, random_token(), 11, flags=flags)
        assert (answer.reason, answer.fare_minor) == (Reason.OK_RISK, FARE_MINOR)
    segments = {int(path.stem): path.read_bytes() for path in config.journal.dir.glob("*.seg")}
    recount = Recount(segments.get)
    recount.advance()
    recount.check_totals()
    assert (recount.risk_minor, recount.balance_minor) == (FARE_MINOR, 100)
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, str(RECOUNT), str(config.journal.dir)), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await done.communicate()
    assert (json.loads(said)["wrong"], done.returncode) == ([], 0)
