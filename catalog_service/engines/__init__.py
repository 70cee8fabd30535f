"""Run generated SQL and stream its result; the worker pool."""
