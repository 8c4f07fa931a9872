"""The C99 reference client: built without a warning, replaying the vectors, at a gateway."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.link import frames
from gateway.link.codes import PREFERENCE, Algorithm
from tests.support.plane import make_folder, running
from tests.support.scripted_gateway import DEVICE_ID, DEVICE_KEY, ScriptedGateway

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "examples" / "firmware"
VECTORS = ROOT / "tests" / "data" / "protocol"
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{ROOT / 'fastpath'}"]
TOKEN = b"a medium's token"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator, built by its own Makefile."""
    out = tmp_path_factory.mktemp("firmware")
    subprocess.run(["make", "-s", "-C", FIRMWARE, f"OUT={out}"], check=True, timeout=100)
    return out / "validator"


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """firmware_check.c under the address and undefined-behaviour sanitizers, if there are any."""
    out = tmp_path_factory.mktemp("checker") / "check"
    source = Path(__file__).with_name("firmware_check.c")
    command = ["cc", *FLAGS, f"-I{FIRMWARE}", "-o", out, source]
    if subprocess.run([*command, *SANITIZE], check=False, timeout=100).returncode != 0:
        subprocess.run(command, check=True, timeout=100)
    return out


async def run_validator(
    program: Path,
    key_file: Path,
    port: int,
    *,
    device: int = DEVICE_ID,
    token: bytes = TOKEN,
    stops: Sequence[str] = ("101", "150"),
    options: Sequence[str] = (),
) -> tuple[int, str, str]:
    """Six taps of a device; returns exit status, output, errors."""
    words = ["127.0.0.1", str(port), str(device), str(key_file), "1", "6", token.hex()]
    process = await asyncio.create_subprocess_exec(
        *(program, *words, *stops, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "device.key"
    path.write_text(DEVICE_KEY.hex() + "\n")
    return path


@pytest.mark.parametrize("options", [[], ["batch"]], ids=["single", "batch"])
@pytest.mark.parametrize("algorithm", PREFERENCE)
@pytest.mark.parametrize("step", [1, 65536])
async def test_it_taps(
    validator: Path, key_file: Path, algorithm: Algorithm, step: int, options: list[str]
) -> None:
    hmac = ["hmac"] if algorithm is Algorithm.HMAC_SHA256 else []
    async with ScriptedGateway(preference=(algorithm,), step=step) as gateway:
        status, said, complained = await run_validator(
            validator, key_file, gateway.port, options=[*options, *hmac]
        )
    assert (status, complained) == (0, "")
    assert said.splitlines() == [
        f"seq={n} verdict=1 reason=0 fare={100 if n % 2 else 200} balance=5000 position={4095 + n}"
        for n in range(1, 7)
    ]
    taps = [f.tap for f in gateway.of_type(frames.Tap) if isinstance(f, frames.Tap)]
    taps += [t for f in gateway.received if isinstance(f, frames.TapBatch) for t in f.taps]
    assert [(t.seq, t.kind, t.stop) for t in taps] == [
        (n, 1 if n % 2 else 2, 101 if n % 2 else 150) for n in range(1, 7)
    ]


@pytest.mark.parametrize("options", [[], ["batch"], ["hmac"]], ids=["single", "batch", "hmac"])
async def test_it_rides_at_the_real_gateway(
    validator: Path, tmp_path: Path, options: list[str]
) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        account_id, token = await hands.rider()
        key_file = tmp_path / "device.key"
        key_file.write_text(hands.identity(1).device_key.hex())
        status, said, complained = await run_validator(
            validator,
            key_file,
            hands.port,
            device=1,
            token=token,
            stops=("11", "13"),
            options=options,
        )
        left = (await hands.account(account_id))["balance_minor"]
    assert (status, complained) == (0, "")
    told = [line.rsplit(" ", 1)[0] for line in said.splitlines()]
    assert told == [
        f"seq={n} verdict=1 reason=0 fare={fare} balance={5000 - 400 * (n // 2)}"
        for n, fare in enumerate([0, 400] * 3, 1)
    ]
    assert left == 5000 - 3 * 400


async def test_it_says_that_its_key_is_wrong(validator: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_text("00" * 32)
    async with ScriptedGateway() as gateway:
        status, said, complained = await run_validator(validator, wrong, gateway.port)
    assert (status, said) == (1, "")
    assert complained == "validator: error 8 retry 0\n"


@pytest.mark.parametrize("at", range(2))
def test_it_replays_the_vectors(checker: Path, at: int) -> None:
    session = json.loads((VECTORS / "sessions.json").read_text())[at]["frames"]
    key: str = json.loads((VECTORS / "keys.json").read_text())["device_key"]
    from_device = [each["frame"] for each in session if each["direction"] == "C"]
    from_server = [each["frame"] for each in session if each["direction"] == "S"]
    said = subprocess.run(
        [checker, "replay"],
        input="\n".join([key, *from_server]) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert [line for line in said if line[0] in "0123456789"] == from_device[:6]
    assert [line for line in said if line.startswith("event")] == [
        f"event {kind} type {number}"
        for kind, number in [
            *((1, 2), (2, 4), (3, 11), (3, 13), (3, 15), (4, 17), (7, 19), (7, 21), (7, 23)),
            *((7, 25), (5, 127), (6, 126)),
        ]
    ]
    assert [line for line in said if line.startswith("answer")] == [
        "answer 1 1 0 0 5000",
        "answer 2 2 1 500 -120",
        "answer 4000000000 0 40 0 -300000",
        "answer 3 1 0 -500 380",
    ]
    assert "error 13 1 200" in said


def test_damaged_payloads_do_no_harm(checker: Path) -> None:
    vectors = json.loads((VECTORS / "frames.json").read_text())
    payloads = [bytes.fromhex(each["payload"]) for each in vectors]
    chance = random.Random(1)
    lines = [payload.hex() for payload in payloads]
    for _ in range(3000):
        damaged = bytearray(chance.choice(payloads))
        for _ in range(chance.randint(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.choice(
                [0xDD, 0xDC, 0xC6, 0xFF, 0, chance.randrange(256)]
            )
        lines.append(bytes(damaged[: chance.randint(0, len(damaged))]).hex())
    run = subprocess.run(
        [checker, "parse"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("answers ")
    assert int(run.stdout.split()[1]) >= 4
