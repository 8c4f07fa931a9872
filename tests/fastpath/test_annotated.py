"""The core makes no Python object: Cython's own annotation of every line says so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from Cython.Compiler.Main import CompilationOptions, default_options
from Cython.Compiler.Main import compile as cython_compile

ROOT = Path(__file__).parents[2]
LINE = re.compile(r'class="cython line score-(\d+)"[^>]*>(.*?)</pre>', re.S)
TAG = re.compile(r"<[^>]*>")
CORES = [
    *("_core", "_legs", "_factors", "_journey", "_period", "_pricing"),
    *("_reversal", "_commands", "_cells", "_cell_commands", "_undo_cells", "_limits"),
    *("_funding", "_wallet", "_wallet_holds", "_wallet_credit"),
]


def directives() -> dict[str, object]:
    """DIRECTIVES of setup.py, as a build without debugging has them."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DIRECTIVES":
            found: dict[str, object] = eval(ast.unparse(node.value), {"DEBUG": False})
            return found
    raise AssertionError("setup.py has no DIRECTIVES")


def annotate(source: Path, folder: Path) -> list[tuple[int, str]]:
    """(score, text) of every line."""
    options = CompilationOptions(
        defaults=default_options,
        output_file=str(folder / f"{source.stem}.c"),
        annotate="default",
        compiler_directives=directives(),
        include_path=[str(ROOT)],
    )
    assert cython_compile(str(source), options).num_errors == 0
    html = (folder / f"{source.stem}.html").read_text(encoding="utf-8")
    return [
        (int(score), TAG.sub("", text).partition(": ")[2]) for score, text in LINE.findall(html)
    ]


def touching_python(lines: list[tuple[int, str]]) -> list[str]:
    """The lines behind the docstring (line 1 stands for the module's own set-up)."""
    return [text for score, text in lines[1:] if score > 0]


@pytest.mark.parametrize("name", CORES)
def test_no_line_of_the_core_touches_python(tmp_path: Path, name: str) -> None:
    source = ROOT / "fastpath" / f"{name}.pyx"
    lines = annotate(source, tmp_path)
    assert len(lines) == len(source.read_text(encoding="utf-8").splitlines())
    assert touching_python(lines) == []


@pytest.mark.parametrize("line", ["return len(str(n))", "print(n); return n"])
def test_a_line_that_touches_python_is_found(tmp_path: Path, line: str) -> None:
    source = tmp_path / "sample.pyx"
    source.write_text(f"# head\ncdef struct One:\n    int n\n\ncdef int f(int n):\n    {line}\n")
    assert touching_python(annotate(source, tmp_path))
