"""When holds end: each once at its instant, and nothing is kept of those that are over."""

from __future__ import annotations

import random

from gateway.engine.due_holds import MINUTE_US, SPARE, Due, DueHolds

HOUR_US = 60 * MINUTE_US


def drain(holds: DueHolds, now_us: int) -> list[Due]:
    found = []
    while (due := holds.pop(now_us)) is not None:
        found.append(due)
    return found


def test_each_comes_out_at_its_instant_the_earliest_first() -> None:
    wanted = [(at_us, 7, at_us + 1) for at_us in (0, 5, MINUTE_US - 1, MINUTE_US, 3 * HOUR_US)]
    holds = DueHolds(reversed(wanted))
    assert drain(holds, 4) == wanted[:1]
    assert drain(holds, MINUTE_US - 1) == wanted[1:3]
    holds.put((6, 8, 1))
    assert drain(holds, MINUTE_US) == [(6, 8, 1), wanted[3]]
    assert drain(holds, 3 * HOUR_US - 1) == []
    assert drain(holds, 4 * HOUR_US) == wanted[4:]
    assert len(holds) == 0


def test_one_that_is_extended_comes_out_once_and_later() -> None:
    holds = DueHolds([(10, 7, 1), (20, 7, 2)])
    holds.put((HOUR_US, 7, 1))
    assert drain(holds, HOUR_US - 1) == [(20, 7, 2)]
    holds.put((HOUR_US + 5, 7, 1))
    assert drain(holds, HOUR_US) == []
    assert drain(holds, 2 * HOUR_US) == [(HOUR_US + 5, 7, 1)]


def test_one_that_could_not_be_released_comes_again() -> None:
    holds = DueHolds([(10, 7, 1)])
    (due,) = drain(holds, 10)
    holds.put(due)
    assert drain(holds, 10) == [due]
    assert drain(holds, 10) == []


def test_what_is_over_takes_no_room() -> None:
    holds = DueHolds()
    for number in range(50_000):
        far_us = (1 << 52) + number * MINUTE_US
        holds.put((far_us, 7, number + 1))
        holds.drop(7, number + 1)
    assert len(holds) == 0
    assert len(holds._minutes) <= SPARE
    assert not holds._ends


def test_any_order_of_what_happens_gives_each_that_is_open_once() -> None:
    rng = random.Random(17)
    holds, open_holds, now_us = DueHolds(), {}, 0
    for _ in range(20_000):
        name = rng.randrange(5), rng.randrange(40)
        what = rng.random()
        if what < 0.5:
            open_holds[name] = now_us + rng.randrange(4 * MINUTE_US)
            holds.put((open_holds[name], *name))
        elif what < 0.8:
            open_holds.pop(name, None)
            holds.drop(*name)
        else:
            now_us += rng.randrange(MINUTE_US)
            ended = sorted((at_us, *one) for one, at_us in open_holds.items() if at_us <= now_us)
            assert drain(holds, now_us) == ended
            open_holds = {one: at for one, at in open_holds.items() if at > now_us}
    assert holds._ends == open_holds
