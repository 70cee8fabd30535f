"""Moving off another service: record what it answers, compare. Nothing of the service imports this."""
