"""`make new-adapter`: what it makes passes the kit, types and lint, and is found as a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.contract import Domain
from adapters.testing.new import PLACES, TEMPLATE, main, make_adapter

ROOT = Path(__file__).parents[2]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "MYPYPATH": paths},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("new") / "city-clinic"
    make_adapter("city-clinic", Domain.HOSPITAL, made)
    return made


def test_its_own_tests_pass(folder: Path) -> None:
    done = run(
        folder, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "passed" in done.stdout


def test_its_types_hold(folder: Path) -> None:
    done = run(folder, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "faregate_city_clinic")
    assert done.returncode == 0, done.stdout


def test_its_style_is_ours(folder: Path) -> None:
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    for words in (["format", "--check"], ["check", "--ignore", "I001"]):
        settings = ["--no-cache", "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run(
            [*ruff, *words, *settings, "."], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_its_manifest_makes_it_known(folder: Path) -> None:
    code = "import setuptools; setuptools.setup()"
    assert run(folder, "-c", code, "-q", "egg_info").returncode == 0
    code = (
        "from importlib.metadata import entry_points\n"
        "(one,) = entry_points(group='faregate.adapters', name='city-clinic')\n"
        "print(one.load().info.name)"
    )
    assert run(folder, "-c", code).stdout == "city-clinic\n"


@pytest.mark.parametrize("name", ["", "Clinic", "1st", "a--b", "a_b", "a" * 40, "../x"])
def test_a_name_that_cannot_be_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="small letters"):
        make_adapter(name, Domain.SCHOOL, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("work")
    assert main(["clinic", "--dir", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_every_template_is_used_and_no_word_is_left(folder: Path) -> None:
    assert {path.name for path in TEMPLATE.iterdir()} == {f"{name}.txt" for name in PLACES}
    for path in folder.rglob("*.py"):
        assert "{{" not in path.read_text(encoding="utf-8")


def test_make_calls_it() -> None:
    assert "-m adapters.testing.new $(NAME)" in (ROOT / "Makefile").read_text(encoding="utf-8")
