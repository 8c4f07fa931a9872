from __future__ import annotations

import pytest

from gateway.bench.echo import EchoOptions, measure_echo


@pytest.mark.parametrize("server", ["c", "uvloop"])
@pytest.mark.parametrize(("batch", "pipeline"), [(0, 1), (8, 2)])
def test_an_echo_gives_every_frame_back(server: str, batch: int, pipeline: int) -> None:
    options = EchoOptions(
        server=server,
        connections=4,
        seconds=0.1,
        warmup_s=0,
        batch=batch,
        pipeline=pipeline,
        pin=False,
    )
    measured = measure_echo(options)
    assert measured["taps_per_s"] > 0
    assert measured["bad_tags"] == 0
