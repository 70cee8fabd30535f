"""Sample catalogs: real stars, and a generator of synthetic surveys."""
