"""The walk in docs/api.md, command by command, with curl."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from gateway.clock import now_us
from tests.http.town import Town

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
STEP = re.compile(r"^    \$ (curl .*?)\n    => \.(\w+) (->|=) (\S+)$", re.MULTILINE | re.DOTALL)


async def _run(command: str, env: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, command
    return out.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_walk_does_what_the_page_says(town: Town) -> None:
    soon = str(now_us() + 600_000_000)
    env = dict(os.environ) | {"API": town.url, "KEY": town.city.token, "SOON": soon}
    steps = STEP.findall(PAGE.read_text(encoding="utf-8"))
    assert len(steps) >= 10
    for command, member, what, wanted in steps:
        said = json.loads(await _run(command, env))
        assert member in said, (command, said)
        if what == "->":
            env[wanted] = str(said[member])
        else:
            right = env.get(wanted[1:], "") if wanted.startswith("$") else wanted
            assert str(said[member]) == right, (command, said)
