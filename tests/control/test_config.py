"""Settings: three sources, one check with all faults, frozen result."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import config_file
from gateway.config import Config, flatten, json_schema, load_config, setting_schema
from gateway.dataplane import build_tls
from gateway.errors import ConfigError, EnvironmentFault
from gateway.keys import (
    card_token,
    check_secrets,
    is_guessable,
    load_control_secrets,
    load_secrets,
    read_secret,
    short_token,
    write_secret,
)

GOOD = "8f1a64d2097bd3e5c1a09b3f7742ce11d08c5b6e93f2a7140b5d6c8e7f90a1b2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return config_file.make_data_dir(tmp_path / "metro")


def test_the_file_of_init_loads_and_equals_the_defaults(file: Path) -> None:
    loaded = load_config(file, env={})
    fresh = dataclasses.replace(
        loaded.config,
        **{name: getattr(Config(), name) for name in ("link", "http", "engine", "log")},
    )
    assert loaded.config == fresh
    assert set(loaded.origins.values()) <= {"file", "default"}


def test_relative_paths_count_from_the_data_folder(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\ndata_dir = "d"\n[journal]\ndir = "/fast/journal"\n')
    config = load_config(path, env={}).config
    assert config.gateway.data_dir == tmp_path / "d"
    assert config.snapshots.dir == tmp_path / "d" / "snapshots"
    assert config.journal.dir == Path("/fast/journal")
    assert config.page_path == tmp_path / "d" / "run" / "page"


def test_flag_wins_over_environment_wins_over_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("[link]\nport = 1\nbatch_max = 1\nheartbeat_s = 1\n")
    env = {"FARE__LINK__PORT": "2", "FARE__LINK__BATCH_MAX": "2", "UNRELATED": "x"}
    loaded = load_config(path, env=env, flags={"link.port": "3"})
    link = loaded.config.link
    assert (link.port, link.batch_max, link.heartbeat_s) == (3, 2, 1.0)
    origins = [
        loaded.origins[f"link.{name}"] for name in ("port", "batch_max", "heartbeat_s", "mac")
    ]
    assert origins == ["flag", "env FARE__LINK__BATCH_MAX", "file", "default"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LINK__PORT", "0", 0),
        ("LINK__MAC", '["hmac-sha256"]', ("hmac-sha256",)),
        ("GATEWAY__NAME", "123", "123"),
        ("GATEWAY__NAME", "true", "true"),
        ("JOURNAL__COMMIT_THREAD_ABOVE_MS", "0.5", 0.5),
        ("LINK__TLS_CERT_FILE", None, None),
        ("TARIFFS__SLOTS__3", "metro", {"3": "metro"}),
        ("TARIFFS__DIRS", '["/a"]', (Path("/a"),)),
    ],
)
def test_environment_text_takes_the_type_of_its_setting(
    file: Path, name: str, text: str | None, value: object
) -> None:
    file.write_text("")
    env = {} if text is None else {f"FARE__{name}": text}
    section, setting = name.lower().split("__")[:2]
    config = load_config(file, env=env).config
    assert getattr(getattr(config, section), setting) == value


def test_all_faults_are_told_at_once_with_path_and_origin(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('lnk = 1\n[link]\nport = "7400"\nprot = 3\n[tariffs.slots]\n"16" = "x"\n')
    with pytest.raises(ConfigError) as refused:
        load_config(path, env={"FARE__HTTP__PORT": "70000"}, flags={"log.level": "loud"})
    found = {line.partition(":")[0]: line for line in refused.value.findings}
    assert set(found) == {
        "lnk",
        "link.port",
        "link.prot",
        "tariffs.slots.16",
        "http.port",
        "log.level",
    }
    assert "did you mean link.port?" in found["link.prot"]
    assert "(from env FARE__HTTP__PORT)" in found["http.port"]
    assert "(from flag)" in found["log.level"]
    assert "(from file)" in found["link.port"]


def test_the_value_of_an_unknown_setting_is_not_repeated(tmp_path: Path) -> None:
    """Somebody may write the secret itself where its file belongs."""
    path = tmp_path / "gateway.toml"
    path.write_text(f'[security]\nmaster_key = "{GOOD}"\n')
    with pytest.raises(ConfigError) as refused:
        load_config(path, env={})
    assert GOOD not in str(refused.value)
    assert "did you mean security.master_key_file?" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[link]\ntls_cert_file = "a"\n', "goes together"),
        ('[link]\ntls_client_ca_file = "a"\n', "needs link.tls_cert_file"),
        ("[link]\nidle_timeout_s = 3\n", "longer than link.heartbeat_s"),
        ("[link]\nmac = []\n", "at least one"),
        ("[journal]\nsegment_mib = 1\n", "must fit"),
        (f'[control]\nsocket = "/{"x" * 108}"\n', "longer than 107 bytes"),
    ],
)
def test_rules_between_settings(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(path, env={})


@pytest.mark.parametrize(
    "value", ["true", "1.5", "'7'", "-1", "65536", "[1]", "{a=1}", "1979-05-27"]
)
def test_a_port_is_a_number_and_nothing_else(tmp_path: Path, value: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f"[link]\nport = {value}\n")
    with pytest.raises(ConfigError, match=r"link\.port"):
        load_config(path, env={})


def test_a_section_that_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("link = 3\n")
    with pytest.raises(ConfigError, match="link"):
        load_config(path, env={})
    with pytest.raises(ConfigError, match="not a table"):
        load_config(path, env={"FARE__LINK__PORT": "1"})


def test_what_is_no_toml_and_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        load_config(tmp_path / "gateway.toml", env={})
    assert missing.value.code == "CONFIG_NOT_FOUND"
    for content in (b"[link\n", b"\xff\xfe"):
        (tmp_path / "gateway.toml").write_bytes(content)
        with pytest.raises(ConfigError) as broken:
            load_config(tmp_path / "gateway.toml", env={})
        assert broken.value.code == "CONFIG_NOT_TOML"


def test_the_file_may_be_named_by_the_environment(file: Path) -> None:
    assert load_config(env={"FAREGATE_CONFIG": str(file)}).path == file


def test_settings_are_frozen(file: Path) -> None:
    config = load_config(file, env={}).config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.link.port = 1  # type: ignore[misc]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_of_the_environment_escapes_the_coded_error(name: str, value: str) -> None:
    path = Path(__file__).parents[2] / "config" / "gateway.toml"
    with suppress(ConfigError):
        load_config(path, env={f"FARE__{name}": value})


def test_every_setting_is_described_and_has_a_schema() -> None:
    for dotted, _ in flatten(Config()):
        assert (setting_schema(dotted) or {})["description"], dotted
    assert setting_schema("link.nothing") is None
    assert json_schema()["additionalProperties"] is False


def test_the_schema_knows_every_setting_of_the_file() -> None:
    json.loads(config_file.render_schema())
    text = "\n" + config_file.render_toml()
    assert all(
        f"\n{dotted.partition('.')[2]}" in text
        or f"# {dotted.partition('.')[2]}" in text
        or f"[{dotted}]" in text
        for dotted, _ in flatten(Config())
    )


# --- secrets -----------------------------------------------------------------------------


def _secret(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_init_makes_two_different_private_secrets(file: Path) -> None:
    secrets = load_secrets(load_config(file, env={}).config)
    assert len(secrets.master_key) == len(secrets.signing_seed) == 32
    assert secrets.master_key != secrets.signing_seed
    for name in ("master.key", "signing.key"):
        assert stat.S_IMODE((file.parent / "secrets" / name).stat().st_mode) == 0o600
    assert secrets.master_key.hex() not in repr(secrets)


def test_an_empty_folder_that_was_there_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    folder.chmod(0o755)
    config_file.make_data_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "of somebody else").touch()
    config_file.make_data_dir(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755, "not ours to close"


def test_init_overwrites_nothing(file: Path) -> None:
    before = {path: path.read_bytes() for path in file.parent.rglob("*") if path.is_file()}
    with pytest.raises(EnvironmentFault) as refused:
        config_file.make_data_dir(file.parent)
    assert refused.value.code == "ENV_EXISTS"
    file.unlink()
    with pytest.raises(EnvironmentFault):
        config_file.make_data_dir(file.parent)
    assert not file.exists()
    assert all(path.read_bytes() == data for path, data in before.items() if path != file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_secret_others_may_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="others may read"):
        read_secret(_secret(tmp_path / "key", GOOD, mode))


@pytest.mark.parametrize(
    "text",
    ["", "abc", GOOD[:-1], GOOD + "00", GOOD[:-1] + "g", "hunter2", "00" * 32, "deadbeef" * 8,
     bytes(range(32)).hex(), bytes(range(31, -1, -1)).hex(), "0123456789abcdef" * 4,
     "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
)  # fmt: skip
def test_a_short_or_well_known_secret_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_secret(_secret(tmp_path / "key", text))
    assert refused.value.code == "CONFIG_SECRET"
    assert not text or text not in str(refused.value)


def test_a_random_secret_is_taken(tmp_path: Path) -> None:
    assert read_secret(_secret(tmp_path / "key", GOOD + "\n")) == bytes.fromhex(GOOD)


def test_random_secrets_are_never_mistaken() -> None:
    assert not any(is_guessable(os.urandom(32)) for _ in range(2_000))


def test_both_bad_secrets_are_told(file: Path) -> None:
    (file.parent / "secrets" / "master.key").unlink()
    (file.parent / "secrets" / "signing.key").chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        load_secrets(load_config(file, env={}).config)
    assert [line.split(":")[0] for line in refused.value.findings] == [
        "security.master_key_file",
        "security.signing_key_file",
    ]


CONTROL = ("token_key_file", "registry_key_file", "index_key_file")


def test_bad_secrets_of_the_control_plane_are_told_too(file: Path) -> None:
    config = load_config(file, env={}).config
    check_secrets(config)
    assert len({*load_control_secrets(config).registry_keys, load_secrets(config).master_key}) == 2
    secrets = file.parent / "secrets"
    (secrets / "tokens.key").unlink()
    (secrets / "registry.key").chmod(0o640)
    (secrets / "index.key").write_text("00" * 32)
    for check in (check_secrets, load_control_secrets):
        with pytest.raises(ConfigError) as refused:
            check(config)
        assert [line.split(":")[0] for line in refused.value.findings] == [
            f"security.{name}" for name in CONTROL
        ]


def test_a_data_plane_alone_needs_no_secret_of_the_control_plane(file: Path) -> None:
    config = load_config(file, env={}).config
    for name in ("tokens.key", "registry.key", "index.key"):
        (file.parent / "secrets" / name).unlink()
    check_secrets(config, ("data", "snapshotter", "ledger"))
    for process in ("http", "worker"):
        with pytest.raises(ConfigError):
            check_secrets(config, ("data", process))


def test_a_tls_key_that_others_may_read_is_refused(file: Path) -> None:
    flags = {"link.tls_cert_file": "chain.pem", "link.tls_key_file": "server.pem"}
    config = load_config(file, env={}, flags=flags).config
    key_file = config.link.tls_key_file
    assert key_file is not None
    checks = (check_secrets, build_tls)
    for check in checks:
        with pytest.raises(ConfigError, match="No such file"):
            check(config)
    key_file.write_text("a key")
    for mode in (0o644, 0o640, 0o602):
        key_file.chmod(mode)
        for check in checks:
            with pytest.raises(ConfigError, match="others may read it"):
                check(config)
    key_file.chmod(0o600)
    check_secrets(config)


def test_one_secret_is_not_used_for_two_things(file: Path) -> None:
    secrets = file.parent / "secrets"
    (secrets / "index.key").write_text((secrets / "master.key").read_text())
    with pytest.raises(ConfigError, match="index_key_file: same as security"):
        check_secrets(load_config(file, env={}).config)


def test_old_keys_are_read_beside_the_new_ones(file: Path) -> None:
    secrets = file.parent / "secrets"
    for name in ("old.key", "older.key", "token-old.key"):
        write_secret(secrets / name)
    flags = {
        "security.registry_old_key_files": '["secrets/old.key", "secrets/older.key"]',
        "security.token_old_key_file": "secrets/token-old.key",
    }
    found = load_control_secrets(load_config(file, env={}, flags=flags).config)
    names = ("registry.key", "old.key", "older.key")
    assert found.registry_keys == tuple(read_secret(secrets / name) for name in names)
    assert len(found.token_seeds) == 2
    assert found.token_seeds[0].hex() not in repr(found)


def test_a_card_token_depends_on_key_and_text() -> None:
    master = bytes.fromhex(GOOD)
    token = card_token(master, "1000 7510 0000 0001")
    assert len(token) == 16
    assert token == card_token(master, "1000 7510 0000 0001")
    assert token != card_token(master, "1000 7510 0000 0002")
    assert token != card_token(master[::-1], "1000 7510 0000 0001")
    assert token.hex() not in short_token(token)
