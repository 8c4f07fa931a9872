"""The examples in plain Python, run as programs at a scripted gateway."""

import asyncio
import sys
from pathlib import Path

import pytest

from gateway.link.codes import PREFERENCE
from tests.support.plane import make_folder, running
from tests.support.scripted_gateway import DEVICE_ID, DEVICE_KEY, ScriptedGateway

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = b"a medium's token"


async def run(
    name: str,
    port: int,
    key: bytes,
    tmp_path: Path,
    *stops: str,
    device: int = DEVICE_ID,
    token: bytes = TOKEN,
) -> tuple[int, str]:
    key_file = tmp_path / "device.key"
    key_file.write_text(key.hex() + "\n")
    words = ["127.0.0.1", str(port), str(device), str(key_file), token.hex(), *stops]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, EXAMPLES / name, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("step", [1, 65536])
async def test_the_validator_rides(tmp_path: Path, step: int) -> None:
    async with ScriptedGateway(step=step) as gateway:
        status, said = await run("validator.py", gateway.port, DEVICE_KEY, tmp_path, "101", "150")
    assert said.splitlines() == [
        "verdict 1 reason 0 fare 100 balance 5000",
        "verdict 1 reason 0 fare 200 balance 5000",
    ]
    assert status == 0


async def test_the_validator_says_what_it_was_refused_for(tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        status, said = await run("validator.py", gateway.port, bytes(32), tmp_path, "101", "150")
    assert (status, said.split(":")[:2]) == (1, ["refused", " auth_failed"])


async def test_the_short_tap(tmp_path: Path) -> None:
    async with ScriptedGateway(preference=PREFERENCE) as gateway:
        status, said = await run("tap.py", gateway.port, DEVICE_KEY, tmp_path, "101")
    assert status == 0, said
    challenge, welcome, answer = said.splitlines()
    assert (challenge[:3], welcome[:3], answer[:5]) == ("[2,", "[4,", "[11, ")


async def test_both_at_the_real_gateway(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        _, token = await hands.rider()
        key, port = hands.identity(1).device_key, hands.port
        rode = await run("validator.py", port, key, tmp_path, "11", "13", device=1, token=token)
        tapped = await run("tap.py", port, key, tmp_path, "11", device=1, token=token)
    assert rode == (
        0,
        "verdict 1 reason 0 fare 0 balance 5000\nverdict 1 reason 0 fare 400 balance 4600\n",
    )
    assert tapped[0] == 0, tapped
    assert tapped[1].splitlines()[-1].startswith("[11, ")


def test_the_short_tap_is_short() -> None:
    lines = (EXAMPLES / "tap.py").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(('"""', "import"))]
    assert len(code) <= 15


def test_the_examples_need_nothing_of_the_gateway() -> None:
    for name in ("tap.py", "validator.py"):
        text = (EXAMPLES / name).read_text()
        assert "import gateway" not in text
        assert "from gateway" not in text
        assert "fastpath" not in text
