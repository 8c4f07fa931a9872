from typing import final

from _typeshed import ReadableBuffer

@final
class Flight:
    """At most one write under way. Close it. Thread: one at a time.

    Raises: OSError: this kernel, or its limit of such writes (fs.aio-max-nr), does not have it.
    """

    @property
    def is_under_way(self) -> bool: ...
    @property
    def fd(self) -> int:
        """Readable when the write has ended."""
    def begin(self, fd: int, data: ReadableBuffer, offset: int) -> None:
        """Have data written there and synced. It must stay as it is until the end: it is locked, not copied.

        fd: opened with O_DIRECT; address, size and offset in whole blocks. Raises: OSError: nothing has begun.
        """
    def end(self, *, wait: bool = False) -> int | None:
        """Bytes written and durable, fewer than given when the room ends; None = it is still under way.

        wait: for as long as it takes. Raises: OSError: as the write or its sync would; which one it does not say.
        """
    def close(self) -> None:
        """Wait for what is under way, and let go of everything."""
