"""The spoilt builds that the crash harness must catch are made by patches: they have to fit."""

from __future__ import annotations

import pytest

from benchmarks.crash_mutations import MUTATIONS, ROOT, Patch


@pytest.mark.parametrize(
    "patch",
    [patch for mutation in MUTATIONS for patch in mutation.patches],
    ids=lambda patch: patch.path,
)
def test_every_patch_still_fits(patch: Patch) -> None:
    text = (ROOT / patch.path).read_text()
    spoilt = patch.applied(text)
    assert spoilt != text
    if patch.path.endswith(".py"):
        compile(spoilt, patch.path, "exec")


def test_a_patch_that_does_not_fit_is_told() -> None:
    with pytest.raises(SystemExit, match=r"gone.py has changed"):
        Patch("gone.py", "old", "new").applied("something else")
