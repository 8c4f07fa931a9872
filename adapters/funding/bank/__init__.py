"""A bank: transfers in by statement or webhook, refunds out. docs/bank.md has the formats."""
