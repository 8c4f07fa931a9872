"""`make new-adapter NAME=...`: adapter, simulator, bench, tests, README and manifest.

python -m adapters.testing.new NAME [--domain hospital] [--dir FOLDER]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from adapters.contract import Domain

TEMPLATE = Path(__file__).parent / "template"
NAME = re.compile("[a-z][a-z0-9]*(-[a-z0-9]+)*")
PLACES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "__init__.py": "faregate_{module}/__init__.py",
    "adapter.py": "faregate_{module}/adapter.py",
    "settings.py": "faregate_{module}/settings.py",
    "simulator.py": "faregate_{module}/simulator.py",
    "bench.py": "faregate_{module}/bench.py",
    "test_conformance.py": "tests/test_conformance.py",
    "test_mapping.py": "tests/test_mapping.py",
}
"""Template → where it goes."""


def make_adapter(name: str, domain: Domain, folder: Path) -> list[Path]:
    """Write all files of a new adapter; what was written.

    Raises: ValueError: a name that cannot be one. FileExistsError: the folder is not empty.
    """
    if not NAME.fullmatch(name) or len(name) > 32:
        raise ValueError(f"{name!r}: small letters and digits, words joined by hyphens")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    words = {
        "name": name,
        "module": name.replace("-", "_"),
        "class": "".join(part.capitalize() for part in name.split("-")),
        "domain": domain.name,
    }
    written = []
    for template, place in PLACES.items():
        text = (TEMPLATE / f"{template}.txt").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace("{{" + word + "}}", value)
        path = folder / place.format(module=words["module"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="new-adapter", description="Make a new adapter.")
    parser.add_argument("name", help="what it is called in `kind`, as in city-clinic")
    parser.add_argument("--domain", type=Domain, choices=list(Domain), default=Domain.HOSPITAL)
    parser.add_argument("--dir", type=Path, help="a new or empty folder; else ./NAME")
    options = parser.parse_args(arguments)
    folder = options.dir or Path(options.name)
    try:
        written = make_adapter(options.name, options.domain, folder)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{path}\n" for path in written)
    sys.stdout.write(f"next: cd {folder} && python -m pytest; then read README.md\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
