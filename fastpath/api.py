"""The face of the compiled engine: what code outside of fastpath imports of it.

The journal's format is `fastpath.records`; the vocabulary (`types`, `commands`, `cells`, `wallet`,
`limits`, `layers`) is plain Python. See ARCHITECTURE.md for how a tap runs through.
"""

from fastpath._accounts import StoreHandle
from fastpath._accounts_bulk import denied_tokens, find_holds, list_holds, populate_accounts
from fastpath._accounts_image import dump as dump_image
from fastpath._accounts_image import layout_digest
from fastpath._accounts_image import load as load_image
from fastpath._audit import redecide
from fastpath._engine import FED, Engine
from fastpath._greeting import Greeting
from fastpath._limit_book import LimitBook
from fastpath._mac import Mac
from fastpath._replay import Replay, Replayed
from fastpath._session import Session
from fastpath._tariff import FORMAT as TARIFF_FORMAT
from fastpath._tariff import Book, CompiledTariff

__all__ = [
    "FED",
    "TARIFF_FORMAT",
    "Book",
    "CompiledTariff",
    "Engine",
    "Greeting",
    "LimitBook",
    "Mac",
    "Replay",
    "Replayed",
    "Session",
    "StoreHandle",
    "denied_tokens",
    "dump_image",
    "find_holds",
    "layout_digest",
    "list_holds",
    "load_image",
    "populate_accounts",
    "redecide",
]
