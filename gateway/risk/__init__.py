"""Risk: rules that follow the journal after the fact and freeze accounts through commands."""
