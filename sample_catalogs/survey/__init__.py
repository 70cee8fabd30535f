"""Generator of a synthetic survey with the tables of a Rubin data release."""
