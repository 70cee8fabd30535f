"""Rewrites of the query tree, one small pure pass a file."""
