"""Keeping things; no rules here."""
