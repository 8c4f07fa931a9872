"""Who takes part: validators in the registry, riders and their media, and the roster file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bootstrap import build_devices
from gateway.errors import CommandError, ConfigError
from gateway.simulate.riders import Persona
from gateway.simulate.roster import (
    Place,
    Roster,
    choose_profiles,
    load_roster,
    register_devices,
    save_roster,
)
from tests.simulate.people import PLACES, make_roster
from tests.support.plane import make_folder


def test_a_roster_comes_back_from_its_file(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "data")
    roster = make_roster(config, tuple(choose_profiles(config, 1, 50)))
    save_roster(tmp_path / "roster.json", roster)
    assert load_roster(tmp_path / "roster.json") == roster


def test_a_roster_is_never_written_over(tmp_path: Path) -> None:
    save_roster(tmp_path / "roster.json", Roster((), ()))
    with pytest.raises(CommandError):
        save_roster(tmp_path / "roster.json", Roster((), ()))


@pytest.mark.parametrize("text", ["", "[]", '{"devices": [{}], "riders": []}'])
def test_another_file_is_no_roster(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ConfigError):
        load_roster(tmp_path / "file")


def test_validators_are_registered_once(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    first = register_devices(config, build_devices(config), PLACES)
    again = register_devices(config, build_devices(config), PLACES)
    assert again == first
    more = register_devices(config, build_devices(config), [*PLACES, Place(1, 11)])
    assert len(build_devices(config).list_all()) == len(PLACES) + 1
    assert len({device.device_id for _, device in more.devices}) == len(PLACES) + 1


def test_media_are_new_in_every_run_and_riders_are_not(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    one, other = choose_profiles(config, 1, 40), choose_profiles(config, 1, 40)
    assert [rider.persona for rider in one] == [rider.persona for rider in other]
    tokens = {token for rider in one + other for token, _ in rider.media}
    families = sum(rider.persona is Persona.FAMILY for rider in one)
    assert len(tokens) == 2 * (40 + families)
