"""Adoption: what somebody else's Parquet files hold and where, found without changing them."""
