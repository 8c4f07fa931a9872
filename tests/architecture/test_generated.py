"""What is made from code is current, and what is shipped is in the wheel."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GENERATE = ROOT / "docs" / "generate.py"


@pytest.fixture(scope="module")
def pages() -> dict[str, Any]:
    made: dict[str, Any] = runpy.run_path(str(GENERATE), run_name="generate")["PAGES"]
    return made


NAMES = (
    "docs/configuration.md",
    "docs/errors.md",
    "docs/metrics.md",
    "docs/cli.md",
    "docs/openapi.json",
    "config/gateway.toml",
    "config/schema/gateway.schema.json",
    "config/schema/adapters/bank.schema.json",
    "config/schema/adapters/clearing.schema.json",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_current(pages: dict[str, Any], name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == pages[name](), "run `make docs`"


def test_no_page_is_forgotten(pages: dict[str, Any]) -> None:
    assert set(pages) == set(NAMES)


def test_the_reference_settings_can_be_loaded_as_they_are() -> None:
    from gateway.config import load_config

    loaded = load_config(ROOT / "config" / "gateway.toml", env={})
    assert set(loaded.origins.values()) <= {"file", "default"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel of everything but the extensions: those are built and tried by the other tests."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["egg_info", "--egg-base", str(folder), "build", "--build-base", str(folder / "build")]
    words += ["bdist_wheel", "--dist-dir", str(folder), "--bdist-dir", str(folder / "bdist")]
    subprocess.run(
        [sys.executable, "setup.py", "-q", *words],
        cwd=ROOT,
        env=os.environ | {"FAREGATE_ONLY": "none"},
        capture_output=True,
        timeout=100,
        check=True,
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_config_stubs_and_every_module(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for path in (ROOT / "config").rglob("*"):
        if path.is_file():
            assert f"gateway/shipped/{path.relative_to(ROOT / 'config').as_posix()}" in names
    for package in ("fastpath", "gateway", "adapters"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in names
    for path in (ROOT / "adapters" / "testing" / "template").glob("*.txt"):
        assert path.relative_to(ROOT).as_posix() in names
    for pattern in ("fastpath/*.pyi", "fastpath/*.pxd", "fastpath/*.h", "gateway/bench/*.pyi"):
        for path in ROOT.glob(pattern):
            assert path.relative_to(ROOT).as_posix() in names


def test_the_wheel_holds_no_tests_no_benchmarks_no_secrets(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        assert not name.startswith(("tests/", "benchmarks/", "docs/", "examples/"))
        assert not name.endswith((".key", ".sqlite", ".seg"))


def test_an_installed_wheel_finds_its_tariffs(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    for extension in (ROOT / "fastpath").glob("*.so"):
        shutil.copy(extension, tmp_path / "fastpath")
    code = (
        "import gateway, sys; from gateway.resources import list_tariffs;"
        "sys.stdout.write(str(list_tariffs()['beijing-subway']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert Path(done.stdout).is_relative_to(tmp_path / "gateway" / "shipped")


TARGETS = ("install", "build", "demo", "test", "check", "fmt", "bench", "debug", "clean")


def _would_run(target: str) -> str:
    """What make would run for a target, without running it."""
    done = subprocess.run(
        ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_the_makefile_has_the_promised_targets(target: str) -> None:
    assert _would_run(target) or target in {"install", "build"}  # nothing left to do for those


def test_a_check_formats_lints_types_and_reads_imports() -> None:
    said = _would_run("check")
    for tool in (
        "ruff format --check",
        "ruff check",
        "mypy",
        "lint-imports",
        "generate.py --check",
    ):
        assert tool in said


def test_ci_runs_what_a_person_runs() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    made = [line.split()[1:] for line in lines if line.startswith("make ")]
    assert {"check", "test"} <= {target for targets in made for target in targets}


def test_the_python_versions_are_the_promised_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
