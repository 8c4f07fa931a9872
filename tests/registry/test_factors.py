"""Second factors: TOTP, recovery codes, WebAuthn. Each proof is good once and for some minutes."""

from __future__ import annotations

import copy
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from gateway.db import Database
from gateway.errors import AuthError, FareGatewayError, RateLimited, RegistryError
from gateway.registry.actors import Actor
from gateway.registry.factors import FactorKind
from tests.registry.riders import PASSWORD, ROOT, SoftAuthenticator, Town


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)


async def with_totp(town: Town) -> tuple[Actor, str, pyotp.TOTP]:
    """A signed-in rider whose app works; a minute later."""
    await town.rider()
    actor, token = await town.signed_in()
    factor_id, uri = await town.factors.begin_totp(actor, password=PASSWORD)
    secret = parse_qs(urlsplit(uri).query)["secret"][0]
    totp = pyotp.TOTP(secret)
    town.factors.confirm_totp(actor, factor_id, totp.at(town.now // 1_000_000))
    town.later(60)
    return actor, token, totp


def code(town: Town, totp: pyotp.TOTP, steps: int = 0) -> str:
    return totp.at(town.now // 1_000_000 + 30 * steps)


def is_up(town: Town, token: str) -> bool:
    try:
        town.sessions.authenticate(token).require_step_up(town.now, 300)
    except AuthError as error:
        return error.code != "AUTH_STEP_UP"
    return True


# --- TOTP -----------------------------------------------------------------------------------------


async def test_a_code_steps_the_session_up_for_five_minutes(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    assert not is_up(town, token)
    until = town.factors.step_up_totp(actor, token, code(town, totp))
    assert until == town.now + 300_000_000
    assert is_up(town, token)
    town.later(300)
    assert is_up(town, token)
    town.later(1)
    assert not is_up(town, token)


async def test_a_step_up_is_of_one_session(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    _, other = await town.signed_in()
    town.factors.step_up_totp(actor, token, code(town, totp))
    assert not is_up(town, other)


@pytest.mark.parametrize(
    ("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
async def test_a_code_may_be_one_step_off(town: Town, steps: int, right: bool) -> None:
    actor, token, totp = await with_totp(town)
    town.later(60)
    if right:
        town.factors.step_up_totp(actor, token, code(town, totp, steps))
    else:
        with pytest.raises(AuthError, match="AUTH_PROOF"):
            town.factors.step_up_totp(actor, token, code(town, totp, steps))
    assert is_up(town, token) is right


async def test_a_code_is_taken_once_and_none_before_it_again(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    before, now = code(town, totp, -1), code(town, totp)
    town.factors.step_up_totp(actor, token, now)
    for again in (now, before):
        with pytest.raises(AuthError, match="AUTH_PROOF"):
            town.factors.step_up_totp(actor, token, again)
    town.factors.step_up_totp(actor, token, code(town, totp, 1))


async def test_the_code_that_confirmed_is_taken_too(town: Town) -> None:
    await town.rider()
    actor, token = await town.signed_in()
    factor_id, uri = await town.factors.begin_totp(actor, password=PASSWORD)
    totp = pyotp.TOTP(parse_qs(urlsplit(uri).query)["secret"][0])
    with pytest.raises(AuthError, match="AUTH_NO_FACTOR"):
        town.factors.step_up_totp(actor, token, code(town, totp))
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.factors.confirm_totp(actor, factor_id, "000000")
    town.factors.confirm_totp(actor, factor_id, code(town, totp))
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.factors.step_up_totp(actor, token, code(town, totp))


async def test_one_code_on_two_connections_is_taken_once(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    wanted, ends = code(town, totp), []

    def show() -> None:
        try:
            town.factors.step_up_totp(actor, token, wanted)
        except FareGatewayError:
            return
        ends.append(True)

    threads = [threading.Thread(target=show) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [True]


async def test_codes_cannot_be_guessed_quickly(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    wrong = str((int(code(town, totp)) + 1) % 1_000_000).zfill(6)
    for _ in range(5):
        with pytest.raises(AuthError, match="AUTH_PROOF"):
            town.factors.step_up_totp(actor, token, wrong)
    with pytest.raises(RateLimited):
        town.factors.step_up_totp(actor, token, code(town, totp))


async def test_a_stolen_session_adds_no_factor(town: Town) -> None:
    await town.rider()
    actor, token = await town.signed_in()
    for begin in (
        town.factors.begin_totp(actor, password="a wrong password"),
        town.passkeys.begin_registration(actor, token, password="a wrong password"),
    ):
        with pytest.raises(AuthError, match="AUTH_PROOF"):
            await begin
    actor, token, _ = await with_second_rider(town)
    for again in (
        town.factors.begin_totp(actor, password=PASSWORD),
        town.passkeys.begin_registration(actor, token, password=PASSWORD),
    ):
        with pytest.raises(AuthError, match="AUTH_STEP_UP"):
            await again
    with pytest.raises(AuthError, match="AUTH_STEP_UP"):
        town.factors.make_codes(actor)


async def with_second_rider(town: Town) -> tuple[Actor, str, pyotp.TOTP]:
    login = "li@example.cn"
    await town.rider(login)
    actor, token = await town.signed_in(login)
    factor_id, uri = await town.factors.begin_totp(actor, password=PASSWORD)
    totp = pyotp.TOTP(parse_qs(urlsplit(uri).query)["secret"][0])
    town.factors.confirm_totp(actor, factor_id, code(town, totp))
    town.later(60)
    return actor, token, totp


async def test_another_rider_s_code_and_session_are_of_no_use(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    other, other_token, other_totp = await with_second_rider(town)
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.factors.step_up_totp(actor, token, code(town, other_totp))
    with pytest.raises(AuthError, match="AUTH_INVALID"):
        town.factors.step_up_totp(actor, other_token, code(town, totp))
    (mine,) = town.factors.list_all(other.person_id)
    town.factors.step_up_totp(actor, token, code(town, totp, 1))
    stepped = town.sessions.authenticate(token)
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        town.factors.remove(stepped, mine.factor_id)


async def test_an_erased_rider_has_no_factors(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    town.persons.erase(ROOT, actor.person_id)
    assert town.factors.list_all(actor.person_id) == []
    with pytest.raises(RegistryError, match="REGISTRY_ERASED"):
        town.factors.step_up_totp(actor, token, code(town, totp))


# --- recovery codes -------------------------------------------------------------------------------


async def test_a_recovery_code_works_once(town: Town) -> None:
    actor, token, totp = await with_totp(town)
    town.factors.step_up_totp(actor, token, code(town, totp))
    codes = town.factors.make_codes(town.sessions.authenticate(token))
    assert len(set(codes)) == 10
    assert all(len(one) == 20 for one in codes)
    town.later(400)
    assert not is_up(town, token)
    town.factors.step_up_code(actor, token, f" {codes[0].upper()} ")
    assert is_up(town, token)
    for wrong in (codes[0], "0" * 20, ""):
        with pytest.raises(AuthError, match="AUTH_PROOF"):
            town.factors.step_up_code(actor, token, wrong)
    town.later(60)
    town.factors.step_up_code(actor, token, codes[9])
    town.factors.make_codes(town.sessions.authenticate(token))
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.factors.step_up_code(actor, token, codes[1])


# --- WebAuthn -------------------------------------------------------------------------------------


async def with_passkey(town: Town) -> tuple[Actor, str, SoftAuthenticator]:
    await town.rider()
    actor, token = await town.signed_in()
    device = SoftAuthenticator()
    options = await town.passkeys.begin_registration(actor, token, password=PASSWORD)
    town.passkeys.finish_registration(actor, token, device.create(options))
    return actor, token, device


async def test_a_passkey_steps_the_session_up(town: Town) -> None:
    actor, token, device = await with_passkey(town)
    (factor,) = town.factors.list_all(actor.person_id)
    assert factor.kind is FactorKind.WEBAUTHN
    for _ in range(3):
        options = town.passkeys.begin_step_up(actor, token)
        until = town.passkeys.step_up(actor, token, device.get(options))
        assert until == town.now + 300_000_000
        assert is_up(town, token)
        town.later(301)
        assert not is_up(town, token)


async def test_a_challenge_is_good_once_and_for_five_minutes(town: Town) -> None:
    actor, token, device = await with_passkey(town)
    options = town.passkeys.begin_step_up(actor, token)
    told = device.get(options)
    town.passkeys.step_up(actor, token, told)
    for late in (0, 300):
        if late:
            options = town.passkeys.begin_step_up(actor, token)
            told = device.get(options)
            town.later(late)
        with pytest.raises(AuthError, match="no ceremony is under way"):
            town.passkeys.step_up(actor, token, told)
    options = town.passkeys.begin_step_up(actor, token)
    with pytest.raises(AuthError):
        town.passkeys.step_up(actor, token, device.get({"challenge": "AAAA"}))
    with pytest.raises(AuthError, match="no ceremony is under way"):
        town.passkeys.step_up(actor, token, device.get(options))


async def test_a_challenge_for_a_step_up_adds_no_key(town: Town) -> None:
    """Whoever holds only the session gets such a challenge without any proof."""
    actor, token, _ = await with_passkey(town)
    options = town.passkeys.begin_step_up(actor, token)
    own = SoftAuthenticator()
    with pytest.raises(AuthError, match="no ceremony is under way"):
        town.passkeys.finish_registration(actor, token, own.create(options))
    assert len(town.factors.list_all(actor.person_id)) == 1


def _flip_signature(told: dict[str, Any]) -> None:
    text = told["response"]["signature"]
    told["response"]["signature"] = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]


WRONG: dict[str, Any] = {
    "another signature": _flip_signature,
    "no signature": lambda told: told["response"].pop("signature"),
    "another id": lambda told: told.update(id="AAAA", rawId="AAAA"),
    "no id": lambda told: told.pop("id"),
    "another type": lambda told: told.update(type="password"),
    "no response": lambda told: told.pop("response"),
    "a response that is none": lambda told: told.update(response=7),
    "garbage data": lambda told: told["response"].update(authenticatorData="AAAA"),
    "garbage client": lambda told: told["response"].update(clientDataJSON="AAAA"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_assertion_is_refused(town: Town, name: str) -> None:
    actor, token, device = await with_passkey(town)
    told = copy.deepcopy(device.get(town.passkeys.begin_step_up(actor, token)))
    WRONG[name](told)
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.passkeys.step_up(actor, token, told)
    assert not is_up(town, token)


@pytest.mark.parametrize(
    "how",
    [{"origin": "https://evil.example"}, {"rp": "evil.example"}, {"verified": False}],
    ids=str,
)
async def test_what_comes_from_elsewhere_or_unverified_is_refused(
    town: Town, how: dict[str, Any]
) -> None:
    actor, token, device = await with_passkey(town)
    for name, value in how.items():
        setattr(device, name, value)
    options = town.passkeys.begin_step_up(actor, token)
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.passkeys.step_up(actor, token, device.get(options))
    await town.rider("li@example.cn")
    other, other_token = await town.signed_in("li@example.cn")
    options = await town.passkeys.begin_registration(other, other_token, password=PASSWORD)
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.passkeys.finish_registration(
            other, other_token, SoftAuthenticator(**how).create(options)
        )


async def test_a_copied_key_is_noticed_by_its_count(town: Town) -> None:
    actor, token, device = await with_passkey(town)
    copied = copy.copy(device)
    for _ in range(2):
        town.passkeys.step_up(actor, token, device.get(town.passkeys.begin_step_up(actor, token)))
    for _ in range(2):
        options = town.passkeys.begin_step_up(actor, token)
        with pytest.raises(AuthError, match="AUTH_PROOF"):
            town.passkeys.step_up(actor, token, copied.get(options))


async def test_a_challenge_of_another_session_is_refused(town: Town) -> None:
    actor, token, device = await with_passkey(town)
    _, other = await town.signed_in()
    options = town.passkeys.begin_step_up(actor, token)
    town.passkeys.begin_step_up(actor, other)
    with pytest.raises(AuthError, match="AUTH_PROOF"):
        town.passkeys.step_up(actor, other, device.get(options))


async def test_without_a_passkey_there_is_nothing_to_begin(town: Town) -> None:
    await town.rider()
    actor, token = await town.signed_in()
    with pytest.raises(AuthError, match="AUTH_NO_FACTOR"):
        town.passkeys.begin_step_up(actor, token)


async def test_factors_are_sealed_and_can_be_taken_away(town: Town) -> None:
    actor, token, device = await with_passkey(town)
    town.passkeys.step_up(actor, token, device.get(town.passkeys.begin_step_up(actor, token)))
    actor = town.sessions.authenticate(token)
    (factor,) = town.factors.list_all(actor.person_id)
    assert town.factors.has_factor(actor.person_id)
    town.factors.remove(actor, factor.factor_id)
    assert not town.factors.has_factor(actor.person_id)
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        town.factors.remove(actor, factor.factor_id)
