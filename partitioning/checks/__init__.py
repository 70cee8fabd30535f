"""Verification and repair of releases, reading only what is on disk."""
