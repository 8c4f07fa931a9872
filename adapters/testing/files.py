"""A folder for a bench, with secrets as files that only their owner reads."""

from __future__ import annotations

import tempfile
from pathlib import Path


class BenchFolder:
    """Removed by `cleanup`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="faregate-bench-")
        self.path = Path(self._folder.name)

    def secret(self, name: str, text: str) -> str:
        """The path of a new file with a secret."""
        path = self.path / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def cleanup(self) -> None:
        self._folder.cleanup()
