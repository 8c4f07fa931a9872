"""Services of the wallet: who may do what with accounts, said as commands to the data plane.

Each service is a plain class whose methods take the Actor first and return plain dataclasses.
Money moves only by commands over the control socket; SQL is in gateway/wallet/stores. Must not
import aiohttp or the engine.
"""
