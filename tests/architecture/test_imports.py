"""Who may import whom: import-linter's contracts hold, and they bite; and what it cannot see."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_contracts_hold() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone, to break."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("gateway", "adapters", "fastpath"):
        shutil.copytree(
            ROOT / package,
            folder / package,
            ignore=lambda _, names: [name for name in names if "." in name and name[-3:] != ".py"],
        )
    return folder


VIOLATIONS = {
    "fastpath/reference.py": "import gateway.errors",
    "fastpath/types.py": "import msgpack",
    "adapters/__init__.py": "import gateway.config",
    "gateway/http/app.py": "import pydantic",
    "gateway/link/server.py": "import sqlalchemy",
    "gateway/engine/commit.py": "import typer",
    "gateway/link/codes.py": "import gateway.journal.segments",
    "gateway/journal/port.py": "import gateway.config",
    "gateway/dataplane.py": "import aiohttp",
    "gateway/config/tree.py": "import gateway.registry.store",
    "gateway/ledger/entries.py": "import gateway.credit.desk",
    "gateway/delivery/outbox.py": "import gateway.wallet.commands",
}


def test_each_violation_is_found(copy: Path) -> None:
    """All at once: each breaks a line of its own in the report."""
    for name, line in VIOLATIONS.items():
        path = copy / name
        path.write_text(path.read_text(encoding="utf-8") + f"\n{line}  # noqa\n", encoding="utf-8")
    said = _lint(copy)
    assert said.returncode == 1
    missed = [
        name for name, line in VIOLATIONS.items() if not _is_reported(said.stdout, name, line)
    ]
    assert missed == [], said.stdout


def _is_reported(report: str, name: str, line: str) -> bool:
    source = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    target = line.removeprefix("import ")
    flat = " ".join(report.split())
    return re.search(rf"{re.escape(source)} -> {re.escape(target)}\b", flat) is not None


# --- Cython: import-linter does not read it ----------------------------------------------------

PYX = sorted([*ROOT.glob("fastpath/*.p[yx]?"), *ROOT.glob("gateway/**/*.p[yx]?")])
CYTHON = [path for path in PYX if path.suffix in (".pyx", ".pxd")]
IMPORT = re.compile(r"^\s*(?:cdef extern from|(?:from\s+([\w.]+)\s+)?c?import\s+([\w.]+))", re.M)


def _imported(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    return {found[1] or found[2] for found in IMPORT.finditer(text) if found[1] or found[2]}


def _is_allowed(module: str, *, own: tuple[str, ...]) -> bool:
    head = module.partition(".")[0]
    if head in {"libc", "posix", "cpython", "cython"} or head in sys.stdlib_module_names:
        return True
    return module.startswith(own)


def test_there_is_something_to_look_at() -> None:
    assert len(CYTHON) >= 10


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_cython_imports_only_what_its_folder_may(path: Path) -> None:
    """Inside fastpath only fastpath; in gateway also the engine's shapes."""
    inside = path.is_relative_to(ROOT / "fastpath")
    own = ("fastpath.", "fastpath") if inside else ("fastpath.", "gateway.")
    wrong = sorted(module for module in _imported(path) if not _is_allowed(module, own=own))
    assert wrong == []


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_include_and_no_def_constants(path: Path) -> None:
    """Cython 3 takes both silently; shapes come from .pxd files, constants from enums."""
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^\s*(include\s+[\"']|DEF\s+\w)", text, re.M) is None


FORBIDDEN_IN_CORE = re.compile(r"\b(time|socket|logging|random|os|asyncio|threading)\b")


BODIES = sorted([*ROOT.glob("fastpath/*.py"), *ROOT.glob("fastpath/*.pyx")])


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.name)
def test_the_engine_has_no_clock_no_sockets_and_no_log(path: Path) -> None:
    imported = _imported(path)
    assert not {module for module in imported if FORBIDDEN_IN_CORE.fullmatch(module)}


# --- Extension modules: no .py file, so import-linter does not see them -----------------------

OUTSIDE = sorted(
    path
    for folder in ("gateway", "adapters", "examples")
    for path in ROOT.glob(f"{folder}/**/*.py")
)


def _private(text: str) -> set[str]:
    """What a source imports of fastpath's private modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if re.match(r"fastpath\._[a-z]", name)}


def test_nothing_shipped_relies_on_assertions() -> None:
    """`python -O` drops them: what has to hold raises an InvariantError."""
    wrong = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
        for path in OUTSIDE
        if path.relative_to(ROOT).parts[0] != "examples"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert wrong == []


def test_private_modules_of_fastpath_are_recognised() -> None:
    lines = (
        "from fastpath import _journal as codec",
        "import fastpath._mac",
        "import fastpath.api",
    )
    assert [bool(_private(line)) for line in lines] == [True, True, False]


def test_nobody_outside_of_fastpath_imports_its_private_modules() -> None:
    """`fastpath.api` and `fastpath.records` are its faces."""
    assert len(OUTSIDE) > 200
    wrong = {
        path.relative_to(ROOT).as_posix(): found
        for path in OUTSIDE
        if (found := _private(path.read_text(encoding="utf-8")))
    }
    assert wrong == {}
