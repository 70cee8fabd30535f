"""The rules: each public action of the service is one call here."""
