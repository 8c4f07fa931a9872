"""Moving in: cards and balances of another system, carried over once, checked on both sides."""
