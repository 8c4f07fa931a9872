"""The face of the compiled engine: what code outside of fastpath imports. See ARCHITECTURE.md for
how a tap runs through.
"""

from fastpath._accounts import StoreHandle
from fastpath._engine import FED, Engine
from fastpath._limit_book import LimitBook
from fastpath._session import Session
from fastpath._tariff import Book, CompiledTariff

__all__ = ["FED", "Book", "CompiledTariff", "Engine", "LimitBook", "Session", "StoreHandle"]
