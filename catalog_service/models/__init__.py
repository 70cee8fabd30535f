"""Frozen types that travel between the layers; conversions only, no rules."""
