"""Build of the compiled engine. Everything that is not about extensions stands in pyproject.toml.

Environment: FAREGATE_DEBUG=1 switches bounds checks and line tracing on; FAREGATE_SANITIZE=1 builds
with ASAN and UBSAN; FAREGATE_ONLY=_core,_tariff builds only these modules (while working on them).
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
FOLDERS = ["fastpath"]
if sys.platform == "linux":
    FOLDERS.append("gateway/bench")  # the load generator needs epoll
    FOLDERS.append("gateway/journal")  # writes in flight need its AIO
DEBUG = os.environ.get("FAREGATE_DEBUG") == "1"
SANITIZE = os.environ.get("FAREGATE_SANITIZE") == "1"
ONLY = set(filter(None, os.environ.get("FAREGATE_ONLY", "").split(",")))

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "auto_pickle": False,
    "binding": True,
    "embedsignature": True,
    "embedsignature.format": "python",
    "linetrace": DEBUG,
    "freethreading_compatible": True,
}


def compiler_flags() -> tuple[list[str], list[str]]:
    """Flags for the C compiler and the linker."""
    compile_args = ["-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function"]
    compile_args += ["-O1", "-g"] if DEBUG or SANITIZE else ["-O2", "-g1", "-fno-math-errno"]
    link_args: list[str] = []
    if SANITIZE:
        sanitizers = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        compile_args += sanitizers
        link_args += sanitizers
    return compile_args, link_args


def extensions() -> list[Extension]:
    """One extension module a .pyx file; headers are dependencies of all."""
    compile_args, link_args = compiler_flags()
    macros = [("CYTHON_TRACE", "1")] if DEBUG else []
    headers = [str(p.relative_to(HERE)) for p in sorted((HERE / "fastpath").glob("*.h"))]
    sources = [
        p.relative_to(HERE) for folder in FOLDERS for p in sorted((HERE / folder).glob("*.pyx"))
    ]
    return [
        Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            include_dirs=["fastpath"],
            depends=headers,
            define_macros=macros,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for source in sources
        if not ONLY or source.stem in ONLY
    ]


def cythonize_strictly() -> list[Extension]:
    """Translate; a performance hint is an error, since it means a hidden grab of the GIL."""
    from Cython.Build import cythonize

    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        modules: list[Extension] = cythonize(
            extensions(), compiler_directives=DIRECTIVES, force=DEBUG or SANITIZE, annotate=DEBUG
        )
    sys.stderr.write(said.getvalue())
    if "performance hint" in said.getvalue():
        raise SystemExit(
            "setup.py: Cython gave a performance hint (see above); mark the function noexcept nogil"
        )
    return modules


class BuildWithConfig(build_py):
    """Also puts config/ (tariffs, calendars, settings) into the wheel, as gateway/shipped."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "gateway" / "shipped"
            shutil.copytree(HERE / "config", target, dirs_exist_ok=True)


setup(ext_modules=cythonize_strictly(), cmdclass={"build_py": BuildWithConfig})
