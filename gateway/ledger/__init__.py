"""The ledger: double entry in SQL, projected from the journal, and what is read from it.

Everything in the ledger's own database can be thrown away and built again from the journal. What
people add to it (settlement numbers, breaks and their notes, checkpoints) lives in the registry's.
Knows journal reading, tariffs and databases; never the engine, the link, HTTP.
"""
