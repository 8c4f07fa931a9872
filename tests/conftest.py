"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("faregate", print_blob=True)
settings.load_profile("faregate")
"""A failing example is printed with the line that repeats it: @reproduce_failure(...)."""
