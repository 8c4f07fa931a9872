"""A digital credit wallet: ride first, pay later. Limits, statements, due dates, instalments."""
