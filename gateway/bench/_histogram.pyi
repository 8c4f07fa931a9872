from typing import final

@final
class Histogram:
    """Durations in nanoseconds (or any unit) from 0 to 2^42; a read value is off by at most 1/256."""

    def record(self, value: int) -> None: ...
    def clear(self) -> None: ...
    def add(self, other: Histogram) -> None: ...
    def percentile(self, per_mille: int) -> int:
        """The value at rank ceil(count * per_mille / 1000); 1000 gives the exact greatest; 0 when empty."""
    def above(self, value: int) -> int:
        """How many recorded values lie in buckets above that of `value`."""
    @property
    def count(self) -> int: ...
    @property
    def greatest(self) -> int: ...
