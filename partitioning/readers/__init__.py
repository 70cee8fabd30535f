"""Input files to iterators of Arrow batches."""
