"""What the wallet keeps in the registry's database: no balances, only what is around them."""
