"""Arrow batches to the bytes of a result format."""
