"""What a process sets about itself, once, so that nobody waits for it.

Must not import anything of the gateway: every process may use it.
"""

from __future__ import annotations

import gc


def freeze_heap() -> None:
    """What is alive now stays, and no collection looks at it again. After everything was made, and
    before anything is served: modules, schemas and tables are a pause of 100 ms and more.
    """
    gc.collect()
    gc.freeze()
