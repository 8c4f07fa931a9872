"""What the HTTP process is made of is frozen before it serves. A real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from gateway.config_file import make_data_dir
from tests.control.commands import ROOT

SERVE = """
import atexit, gc, sys
from pathlib import Path
from gateway.config import load_config
from gateway.http import app
atexit.register(lambda: print(gc.get_freeze_count()))
app.main(load_config(Path(sys.argv[1]), flags={"http.port": "0"}).config, int(sys.argv[2]))
"""


def test_the_http_process_freezes_what_it_is_made_of(tmp_path: Path) -> None:
    file = make_data_dir(tmp_path / "metro")
    read, write = os.pipe()
    words = [sys.executable, "-c", SERVE, str(file), str(write)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, pass_fds=(write,), cwd=ROOT
    ) as process:
        os.close(write)
        assert os.read(read, 1000), "it is ready"
        os.close(read)
        process.send_signal(signal.SIGTERM)
        frozen, _ = process.communicate(timeout=60)
    assert int(frozen) > 20_000
