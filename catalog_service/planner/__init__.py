"""Which files, and which part of them, a query must read."""
