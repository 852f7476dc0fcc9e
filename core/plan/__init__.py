"""What work takes before it is done: the work itself, rehearsed without memory (see `ledger`)."""
