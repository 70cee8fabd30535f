"""Readers of uploaded tables; they run in workers only, under their resource limits."""
