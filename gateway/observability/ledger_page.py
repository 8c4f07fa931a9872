"""The projector's own shared page: how far it has come, for /metrics.

Same form as the data plane's page (gateway/observability/page.py); slot numbers are never reused.
"""

from __future__ import annotations

from typing import Final

# fmt: off
STARTED_US: Final = 4
HEARTBEAT_US: Final = 5        # wall clock, set at every look at the journal
POSITION: Final = 8            # where the projected part of the journal ends
SEQ: Final = 9                 # last projected record
GROUP_US: Final = 10           # when the last projected group was made
BATCHES: Final = 11
RECORDS: Final = 12            # projected since the start
BATCH_US: Final = 14           # length of the last batch
CAUGHT_UP_US: Final = 15       # wall clock when nothing durable was left to project
# fmt: on
